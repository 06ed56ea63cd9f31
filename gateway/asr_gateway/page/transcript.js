/** `<word-transcript>`: the words of a recording, which light up as it plays, and can be heard one by one. */

import { clock } from "./clock.js";

// Below each of these confidences a word is shaded more.
const DOUBTS = [0.9, 0.75, 0.5];
const KEYS = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 };

class WordTranscript extends HTMLElement {
  #audio = null;
  #words = []; // {start, end, element}, in order
  #now = -1; // the word that is heard
  #frame = 0; // of the display, that is waited for
  #focused = 0; // the one that Tab reaches

  connectedCallback() {
    this.setAttribute("role", "group");
    this.setAttribute("aria-label", "Words of the transcript: arrow keys move, Enter plays");
    this.setAttribute("dir", "auto");
    this.addEventListener("click", (event) => this.#play(this.#at(event.target)));
    this.addEventListener("keydown", (event) => this.#press(event));
  }

  /** @param {HTMLAudioElement} audio plays the recording */
  set audio(audio) {
    this.#audio = audio;
    audio.addEventListener("playing", () => this.#follow());
    audio.addEventListener("seeked", () => this.#hear());
    audio.addEventListener("ended", () => this.#light(-1));
  }

  /** Whether its words have times. */
  get hasTimes() {
    return this.#words.length > 0;
  }

  /**
   * Show a transcript.
   *
   * @param {{text: string, segments: object[], words: object[], logprobs: object[]}} answer the gateway's verbose_json;
   *   the tokens of logprobs are the words with the white space before them
   */
  show({ text, segments, words, logprobs }) {
    this.#words = [];
    this.#now = -1;
    this.#focused = 0;
    const paragraphs = (segments.length ? segments : [{ start: 0, text }]).map((segment) => {
      const paragraph = document.createElement("p");
      paragraph.append(made("span", "time", clock(segment.start)));
      const said = made("span", "said", words.length ? "" : segment.text.trim());
      paragraph.append(said);
      return { start: segment.start, paragraph, said };
    });
    let place = 0;
    words.forEach((word, number) => {
      while (paragraphs[place + 1]?.start <= word.start) place += 1;
      this.#add(paragraphs[place].said, word, logprobs[number]);
    });
    this.replaceChildren(...paragraphs.map(({ paragraph }) => paragraph));
    if (this.hasTimes) this.#words[0].element.tabIndex = 0;
  }

  #add(said, { word, start, end }, { token, logprob }) {
    const confidence = Math.exp(logprob);
    const element = made("span", "word", token.trim() || word);
    element.setAttribute("role", "button");
    element.setAttribute("aria-roledescription", "word");
    element.tabIndex = -1;
    element.dataset.number = this.#words.length;
    element.title = `${start.toFixed(2)} s · ${Math.round(confidence * 100)} % sure`;
    const doubt = DOUBTS.filter((bound) => confidence < bound).length;
    if (doubt) element.dataset.doubt = doubt;
    // White space stays outside of what is lit up.
    if (said.hasChildNodes()) said.append(token.slice(0, token.length - token.trimStart().length));
    said.append(element);
    this.#words.push({ start, end, element });
  }

  #at(target) {
    return this.#words[target.closest?.(".word")?.dataset.number];
  }

  #press(event) {
    const word = this.#at(event.target);
    if (!word || event.altKey || event.ctrlKey || event.metaKey) return;
    if (event.key === "Enter" || event.key === " ") this.#play(word);
    else if (event.key in KEYS) this.#focus(this.#focused + KEYS[event.key]);
    else if (event.key === "Home") this.#focus(0);
    else if (event.key === "End") this.#focus(this.#words.length - 1);
    else return;
    event.preventDefault();
  }

  #focus(number) {
    const word = this.#words[number];
    if (!word) return;
    this.#words[this.#focused].element.tabIndex = -1;
    this.#focused = number;
    word.element.tabIndex = 0;
    word.element.focus();
  }

  #play(word) {
    if (!word || !this.#audio?.src) return;
    this.#audio.currentTime = word.start;
    // It may be stopped before it begins, which is no error.
    this.#audio.play().catch(() => {});
  }

  /** Light up each word as it is heard, until the recording stops. */
  #follow() {
    cancelAnimationFrame(this.#frame);
    if (this.#audio.paused) return;
    this.#hear();
    this.#frame = requestAnimationFrame(() => this.#follow());
  }

  #hear() {
    this.#light(this.#begun(this.#audio.currentTime));
  }

  /** Return the number of the last word that has begun; -1 before the first. */
  #begun(seconds) {
    let [low, high] = [0, this.#words.length];
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.#words[middle].start <= seconds) low = middle + 1;
      else high = middle;
    }
    return low - 1;
  }

  #light(number) {
    if (number === this.#now) return;
    this.#words[this.#now]?.element.removeAttribute("aria-current");
    this.#now = number;
    const element = this.#words[number]?.element;
    if (!element) return;
    element.setAttribute("aria-current", "true");
    this.#show(element);
  }

  /** Scroll within this element alone, so that the page stays where it is. */
  #show(element) {
    const [outer, inner] = [this.getBoundingClientRect(), element.getBoundingClientRect()];
    if (inner.top < outer.top || inner.bottom > outer.bottom) {
      this.scrollTop += inner.top - outer.top - this.clientHeight / 3;
    }
  }
}

function made(name, className, text) {
  const element = document.createElement(name);
  element.className = className;
  element.textContent = text;
  return element;
}

customElements.define("word-transcript", WordTranscript);
