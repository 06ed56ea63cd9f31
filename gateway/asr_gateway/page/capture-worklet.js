/** Turns the microphone into 16-bit samples of one channel, on the browser's audio thread. */

class Capture extends AudioWorkletProcessor {
  #factor; // of input samples, whose mean is one sample: contexts may run faster than the gateway takes
  #chunk;
  #filled = 0;
  #peak = 0;
  #sum = 0;
  #summed = 0;
  #ends = false;

  /** @param {{processorOptions: {factor: number, chunk: number}}} options chunk: samples of a message */
  constructor({ processorOptions: { factor, chunk } }) {
    super();
    this.#factor = factor;
    this.#chunk = new Int16Array(chunk);
    // The only message asks for what is left.
    this.port.onmessage = () => {
      this.#send();
      this.#ends = true;
      this.port.postMessage(null);
    };
  }

  /** @param {Float32Array[][]} inputs one input, whose channels are empty until the microphone is connected */
  process([channels]) {
    const length = channels[0]?.length ?? 0;
    for (let place = 0; place < length && !this.#ends; place++) {
      let sample = 0;
      for (const channel of channels) sample += channel[place];
      this.#take(sample / channels.length);
    }
    return !this.#ends;
  }

  #take(sample) {
    this.#sum += sample;
    if (++this.#summed < this.#factor) return;
    const mean = Math.max(-1, Math.min(1, this.#sum / this.#factor));
    this.#sum = this.#summed = 0;
    this.#peak = Math.max(this.#peak, Math.abs(mean));
    this.#chunk[this.#filled++] = Math.round(mean * 32767);
    if (this.#filled === this.#chunk.length) this.#send();
  }

  #send() {
    if (this.#filled) this.port.postMessage({ samples: this.#chunk.slice(0, this.#filled), peak: this.#peak });
    this.#filled = this.#peak = 0;
  }
}

registerProcessor("capture", Capture);
