/** A dictation: the microphone, what it heard, and the captions of it. */

import { LiveSession } from "./live.js";
import { Microphone } from "./microphone.js";
import { Recording } from "./recording.js";

/** A recording that is under way. */
export class Dictation {
  #microphone;
  #session;
  #lock = null;

  /**
   * Begin to record. Call it from a click.
   *
   * @param {{model: string, hotwords: string[]}} options of the captions
   * @param {import("./live.js").Listener} listener of the session; it also has `onLevel(peak)` and `onGone()`: the microphone went away
   * @returns {Promise<Dictation>}
   * @throws {Error} there is no microphone; the message says why
   */
  static async begin(options, listener) {
    const dictation = new Dictation();
    dictation.#microphone = await Microphone.open(
      (samples, peak) => {
        dictation.recording.push(samples);
        dictation.#session.send();
        listener.onLevel(peak);
      },
      () => listener.onGone(),
    );
    dictation.recording = new Recording(dictation.#microphone.rate);
    dictation.#session = new LiveSession(dictation.recording, options, listener);
    await dictation.#stayAwake();
    return dictation;
  }

  /**
   * Turn the microphone off at once, and wait for the last captions.
   *
   * @returns {Promise<File>} the recording
   */
  async end() {
    this.#lock?.release();
    await this.#microphone.stop();
    await this.#session.finish();
    return this.recording.wav();
  }

  /** Keep a telephone from sleeping, which would end the recording. */
  async #stayAwake() {
    try {
      this.#lock = await navigator.wakeLock?.request("screen");
    } catch {
      // It may be refused, as with little battery.
    }
  }
}
