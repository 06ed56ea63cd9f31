/** What came out: the recording to hear, its words, and files to keep. */

import { clock } from "./clock.js";

const TYPES = { txt: "text/plain", srt: "application/x-subrip", vtt: "text/vtt", json: "application/json" };

export class Result {
  #section;
  #urls = []; // of blobs, which stay in memory until they are revoked
  #text = "";

  /** @param {HTMLElement} section with the elements of a result */
  constructor(section) {
    this.#section = section;
    this.#find("word-transcript").audio = this.#player;
    this.#player.addEventListener("error", () => this.#cannotPlay());
    this.#find("#copy").hidden = !navigator.clipboard; // there is none over plain HTTP
    this.#find("#copy").addEventListener("click", () => this.#copy());
  }

  hide() {
    this.#section.hidden = true;
    this.#player.pause();
    this.#player.removeAttribute("src");
    for (const url of this.#urls.splice(0)) URL.revokeObjectURL(url);
  }

  /**
   * Show the result of a recording.
   *
   * @param {File} file the recording
   * @param {object} answer the gateway's verbose_json
   * @param {{model: string, isOurs: boolean}} about isOurs: this page recorded it, so nobody else has it
   */
  show(file, answer, { model, isOurs }) {
    this.hide();
    this.#text = answer.text;
    this.#find("#result-title").textContent = isOurs ? "What you said" : file.name;
    this.#find("#result-facts").textContent = facts(answer, model);
    this.#player.hidden = false;
    this.#find("#player-note").hidden = true;
    this.#player.src = this.#url(file);
    const transcript = this.#find("word-transcript");
    transcript.show(answer);
    transcript.hidden = !answer.text;
    this.#find("#legend").hidden = !transcript.hasTimes;
    this.#offer(file, answer, isOurs);
    this.#section.hidden = false;
    this.#find("#result-title").focus({ preventScroll: true });
  }

  #offer(file, answer, isOurs) {
    const { srt, vtt, ...rest } = answer;
    const texts = { txt: `${answer.text}\n`, srt, vtt, json: `${JSON.stringify(rest, null, 2)}\n` };
    const name = file.name.replace(/\.[^.]*$/, "");
    const links = Object.entries(texts).map(([format, text]) =>
      this.#link(`${name}.${format}`, new Blob([text], { type: TYPES[format] })),
    );
    if (isOurs) links.push(this.#link(file.name, file));
    this.#find("#downloads").replaceChildren(...links);
  }

  #link(name, blob) {
    const link = document.createElement("a");
    link.className = "button";
    link.download = name;
    link.href = this.#url(blob);
    link.textContent = name.split(".").at(-1).toUpperCase();
    link.setAttribute("aria-label", `Download ${name}`);
    return link;
  }

  #url(blob) {
    const url = URL.createObjectURL(blob);
    this.#urls.push(url);
    return url;
  }

  #cannotPlay() {
    if (!this.#player.hasAttribute("src")) return; // it was taken away
    this.#player.hidden = true;
    this.#find("#player-note").hidden = false;
  }

  async #copy() {
    const button = this.#find("#copy");
    try {
      await navigator.clipboard.writeText(this.#text);
      button.textContent = "Copied";
    } catch {
      button.textContent = "The browser did not allow it";
    }
    setTimeout(() => (button.textContent = "Copy text"), 2000);
  }

  get #player() {
    return this.#find("#player");
  }

  #find(selector) {
    return this.#section.querySelector(selector);
  }
}

function facts({ duration, language, words, text }, model) {
  const many = words.length === 1 ? "1 word" : `${words.length} words`;
  const parts = [clock(duration), text ? many : "no speech was found", `model ${model}`, language];
  return parts.filter(Boolean).join(" · ");
}
