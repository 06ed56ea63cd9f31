/** The line beneath the level: how the captions' connection is, or that nothing is heard. */

const SILENT = 0.001; // a peak below it is no sound
const SILENT_FOR_MS = 4000;
const TICK_MS = 500;
const STATES = {
  connecting: () => "Connecting…",
  live: (reason) => reason,
  lost: () => "The connection was lost. Trying again: the recording goes on, and what is missing comes later.",
  off: (reason) =>
    `There are no live captions${reason && `: ${reason.replace(/\.$/, "")}`}. ` +
    "The recording goes on, and its text comes when you stop.",
};

/** The notes of a dictation. */
export class Notes {
  #element;
  #state = "";
  #soundAt = Date.now();
  // A clock of its own, because a microphone that the system took away sends nothing at all.
  #ticking = setInterval(() => this.#show(), TICK_MS);

  /** @param {HTMLElement} element a screen reader says what changes in it */
  constructor(element) {
    this.#element = element;
    this.#show();
  }

  /** Note the state of the session; see live.js. */
  state(state, reason) {
    this.#state = STATES[state](reason);
    this.#show();
  }

  /** @param {number} peak of what was heard just now, from 0 to 1 */
  heard(peak) {
    if (peak > SILENT) this.#soundAt = Date.now();
  }

  /** @param {string} text the last note, which stays */
  end(text) {
    clearInterval(this.#ticking);
    this.#ticking = null;
    this.#element.textContent = text;
  }

  #show() {
    if (this.#ticking === null) return;
    const isSilent = Date.now() - this.#soundAt > SILENT_FOR_MS;
    const text = isSilent ? "Nothing is heard. Is the microphone muted?" : this.#state;
    if (this.#element.textContent !== text) this.#element.textContent = text;
  }
}
