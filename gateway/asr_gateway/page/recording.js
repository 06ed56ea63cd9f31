/** What the microphone heard, in 16-bit samples of one channel. */

const BYTES = 2; // of a sample
const FOLDED_AT = 200; // chunks, after which the browser may move them out of memory

/** A recording that grows. */
export class Recording {
  #folded = new Blob();
  #recent = [];

  /** @param {number} rate in Hz */
  constructor(rate) {
    this.rate = rate;
    this.length = 0; // in samples
  }

  /** @returns {number} */
  get seconds() {
    return this.length / this.rate;
  }

  /** @param {Int16Array} samples */
  push(samples) {
    this.#recent.push(samples);
    this.length += samples.length;
    if (this.#recent.length >= FOLDED_AT) {
      this.#folded = this.#all();
      this.#recent = [];
    }
  }

  /**
   * Read a part again.
   *
   * @param {number} begin in samples
   * @param {number} end likewise
   * @returns {Promise<Int16Array>}
   */
  async slice(begin, end) {
    return new Int16Array(await this.#all().slice(begin * BYTES, end * BYTES).arrayBuffer());
  }

  /** @returns {File} all of it as a WAV file */
  wav() {
    return new File([header(this.rate, this.length * BYTES), this.#all()], "microphone.wav", { type: "audio/wav" });
  }

  #all() {
    return new Blob([this.#folded, ...this.#recent]);
  }
}

/** Return the 44 bytes before the samples. */
function header(rate, bytes) {
  const view = new DataView(new ArrayBuffer(44));
  const text = (place, value) => [...value].forEach((letter, at) => view.setUint8(place + at, letter.charCodeAt(0)));
  text(0, "RIFF");
  view.setUint32(4, 36 + bytes, true);
  text(8, "WAVEfmt ");
  view.setUint32(16, 16, true); // bytes of what follows
  view.setUint16(20, 1, true); // PCM
  view.setUint16(22, 1, true); // channels
  view.setUint32(24, rate, true);
  view.setUint32(28, rate * BYTES, true);
  view.setUint16(32, BYTES, true);
  view.setUint16(34, 8 * BYTES, true);
  text(36, "data");
  view.setUint32(40, bytes, true);
  return view.buffer;
}
