/** The microphone: samples as they come, until it is stopped. */

const WORKLET = new URL("capture-worklet.js", import.meta.url);
const HIGHEST_RATE = 48_000; // that the gateway takes
const CHUNK_S = 0.05;
const FLUSH_MS = 500; // a context that the system has suspended flushes nothing

// Models learn from speech as it is, and bring it to one loudness themselves. What cleans speech for calls changes it.
const AUDIO = { channelCount: 1, echoCancellation: false, noiseSuppression: false, autoGainControl: false };

const REASONS = {
  NotAllowedError: "The browser did not give the microphone to this page. Allow it in the address bar, then try again.",
  NotFoundError: "There is no microphone.",
  NotReadableError: "Another program, or the system, holds the microphone.",
};

/**
 * Say why this page cannot have a microphone.
 *
 * @returns {string} "" if it can
 */
export function whyNot() {
  if (navigator.mediaDevices?.getUserMedia && globalThis.AudioWorkletNode) return "";
  if (globalThis.isSecureContext) return "This browser gives pages no microphone.";
  return (
    `The microphone needs HTTPS or localhost: this page came from ${location.host} over plain HTTP, ` +
    "where browsers give no microphone. Recordings work all the same."
  );
}

/** A microphone that is on. */
export class Microphone {
  #context;
  #stream;
  #node;
  #flushed;

  /**
   * Turn the microphone on. Call it from a click, because some browsers start no audio otherwise.
   *
   * @param {(samples: Int16Array, peak: number) => void} onAudio twenty times a second; peak: from 0 to 1
   * @param {() => void} onEnd the microphone went away
   * @returns {Promise<Microphone>}
   * @throws {Error} it cannot be had; the message says why
   */
  static async open(onAudio, onEnd) {
    const microphone = new Microphone();
    try {
      await microphone.#open(onAudio, onEnd);
    } catch (error) {
      await microphone.stop();
      throw new Error(REASONS[error.name] ?? `The microphone does not work: ${error.message}`);
    }
    return microphone;
  }

  async #open(onAudio, onEnd) {
    // Its own rate, because Firefox connects no microphone to a context with another one.
    this.#context = new AudioContext();
    this.#stream = await navigator.mediaDevices.getUserMedia({ audio: AUDIO });
    await this.#context.audioWorklet.addModule(WORKLET);
    // Safari makes contexts that wait, and a call of the telephone suspends them.
    await this.#context.resume();
    this.#context.onstatechange = () => this.#context.state === "suspended" && this.#context.resume();
    const factor = Math.ceil(this.#context.sampleRate / HIGHEST_RATE);
    this.rate = Math.round(this.#context.sampleRate / factor);
    this.#node = new AudioWorkletNode(this.#context, "capture", {
      numberOfOutputs: 1, // a node without outputs is not run by every browser
      processorOptions: { factor, chunk: Math.round(this.rate * CHUNK_S) },
    });
    this.#flushed = new Promise((resolve) => {
      this.#node.port.onmessage = ({ data }) => (data ? onAudio(data.samples, data.peak) : resolve());
    });
    this.#stream.getAudioTracks()[0].addEventListener("ended", onEnd);
    this.#context.createMediaStreamSource(this.#stream).connect(this.#node).connect(this.#context.destination);
  }

  /** Turn it off, at once; what was heard until now still comes. */
  async stop() {
    for (const track of this.#stream?.getTracks() ?? []) track.stop();
    if (this.#node) {
      this.#node.port.postMessage("flush");
      await Promise.race([this.#flushed, new Promise((resolve) => setTimeout(resolve, FLUSH_MS))]);
    }
    if (this.#context && this.#context.state !== "closed") await this.#context.close();
  }
}
