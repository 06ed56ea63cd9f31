/** Live captions: a recording goes to the gateway while it grows, and its text comes back. */

import { realtimeSocket } from "./api.js";

const PIECE_S = 1; // of what is sent at once when the socket is behind
const MOST_BUFFERED = 2 ** 20; // bytes that may wait in the browser
const OPENED_WITHIN_MS = 10_000;
const FINISHED_WITHIN_MS = 15_000;
// Before each try to connect again. Then captions are off, and the recording goes on.
const PAUSES_MS = [500, 1000, 2000, 4000, 8000];
const STABLE_MS = 10_000; // a connection that lived so long was a good one
const REPEATED_S = 3; // of what was sent without any sign of speech: it may have held the beginning of a word
const COMMIT = "stop"; // the id of the event that ends the last segment

/**
 * What happens in a session.
 *
 * @typedef {object} Listener
 * @property {(item: string, text: string) => void} onPartial the text of a segment so far
 * @property {(item: string, text: string) => void} onFinal the text of a segment
 * @property {(item: string) => void} onDropped a partial text is heard again, as part of another segment
 * @property {(state: "connecting"|"live"|"lost"|"off", reason: string) => void} onState
 */

/**
 * A session that survives the end of its socket: what was not yet final is then sent again, so that no word is missing.
 */
export class LiveSession {
  #recording;
  #options;
  #listener;
  #socket = null;
  #isLive = false;
  #isOver = false;
  #connections = 0;
  #failures = 0; // in a row
  #liveAt = 0;
  #retry = 0;
  // Places in the recording, in samples.
  #resume = 0; // where the next connection begins
  #begin = 0; // where this one began
  #sent = 0; // before it, all was sent
  #final = 0; // before it, all text is final
  #isSending = false;
  #items = new Map(); // of this connection, not yet final: id -> {text, start, end}
  #superseded = []; // items of connections that broke
  #settled = null; // resolves finish()
  #isCommitted = false;

  /**
   * @param {Recording} recording it grows
   * @param {{model: string, hotwords: string[]}} options
   * @param {Listener} listener
   */
  constructor(recording, options, listener) {
    this.#recording = recording;
    this.#options = options;
    this.#listener = listener;
    this.#connect();
  }

  /** Send what the recording has more than before. */
  async send() {
    if (!this.#isLive || this.#isSending) return;
    const socket = this.#socket;
    this.#isSending = true;
    try {
      while (this.#socket === socket && this.#isLive && this.#sent < this.#recording.length) {
        if (socket.bufferedAmount > MOST_BUFFERED) return;
        const end = Math.min(this.#recording.length, this.#sent + PIECE_S * this.#recording.rate);
        const samples = await this.#recording.slice(this.#sent, end);
        if (this.#socket !== socket || !this.#isLive) return;
        say(socket, { type: "input_audio_buffer.append", audio: base64(samples) });
        this.#sent = end;
      }
    } finally {
      this.#isSending = false;
    }
  }

  /** Wait for the text of all that was recorded, for some seconds at most, and end the session. */
  async finish() {
    if (this.#isLive) {
      const settled = new Promise((resolve) => (this.#settled = resolve));
      const late = new Promise((resolve) => setTimeout(resolve, FINISHED_WITHIN_MS));
      await Promise.race([this.#commit().then(() => settled), late]);
    }
    this.close();
  }

  /** End the session at once. */
  close() {
    this.#isOver = true;
    clearTimeout(this.#retry);
    this.#leave();
  }

  async #commit() {
    while (this.#isLive && this.#sent < this.#recording.length) {
      await this.send();
      await new Promise((resolve) => setTimeout(resolve, 20)); // the socket may be behind
    }
    if (this.#isLive) say(this.#socket, { type: "input_audio_buffer.commit", event_id: COMMIT });
  }

  #connect() {
    this.#connections += 1;
    this.#listener.onState(this.#failures ? "lost" : "connecting", "");
    const socket = realtimeSocket();
    this.#socket = socket;
    const slow = setTimeout(() => this.#failed(socket, "the gateway took too long"), OPENED_WITHIN_MS);
    socket.onmessage = ({ data }) => {
      if (this.#socket !== socket) return;
      const event = JSON.parse(data);
      if (event.type === "session.updated") clearTimeout(slow);
      this.#hear(event);
    };
    socket.onclose = ({ reason }) => {
      clearTimeout(slow);
      this.#failed(socket, reason);
    };
  }

  #hear(event) {
    switch (event.type) {
      case "session.created":
        say(this.#socket, { type: "session.update", session: this.#session() });
        break;
      case "session.updated":
        if (event.session.audio.input.turn_detection === null) {
          this.#off("this model hears whole recordings only");
          return;
        }
        this.#begin = this.#sent = this.#resume;
        this.#isLive = true;
        this.#liveAt = Date.now();
        this.#listener.onState("live", "");
        this.send();
        break;
      case "input_audio_buffer.speech_started":
        this.#item(event.item_id).start = this.#place(event.audio_start_ms);
        break;
      case "input_audio_buffer.speech_stopped":
        this.#item(event.item_id).end = this.#place(event.audio_end_ms);
        break;
      case "input_audio_buffer.committed":
        // The answer to the commit: an item that no end of speech has ended.
        if (this.#item(event.item_id).end === null && this.#settled) this.#isCommitted = true;
        break;
      case "conversation.item.input_audio_transcription.delta": {
        const item = this.#item(event.item_id);
        item.text += event.delta;
        this.#drop();
        this.#listener.onPartial(this.#name(event.item_id), item.text);
        break;
      }
      case "conversation.item.input_audio_transcription.completed":
        this.#complete(event.item_id, event.transcript);
        break;
      case "conversation.item.input_audio_transcription.failed":
        this.#complete(event.item_id, this.#item(event.item_id).text);
        this.#listener.onState("live", event.error.message);
        break;
      case "error":
        this.#wrong(event.error);
        break;
    }
    if (this.#isCommitted && this.#items.size === 0) this.#settled?.();
  }

  #session() {
    const { model, hotwords } = this.#options;
    const transcription = { model, delay: "low", ...(hotwords.length && { keywords: hotwords }) };
    const format = { type: "audio/pcm", rate: this.#recording.rate };
    // Without turn_detection, the gateway finds turns where the model can.
    return { type: "transcription", audio: { input: { format, transcription } } };
  }

  #complete(id, text) {
    const { end } = this.#item(id);
    this.#final = Math.max(this.#final, end ?? 0);
    this.#items.delete(id);
    this.#drop();
    this.#listener.onFinal(this.#name(id), text);
  }

  #wrong({ message, event_id: asked }) {
    if (asked === COMMIT) {
      this.#isCommitted = true; // nothing was left to commit
    } else if (!this.#isLive) {
      this.#off(message); // the session was refused, and would be refused again
    } else {
      this.#listener.onState("live", message);
    }
  }

  /** End this connection, and try again later. */
  #failed(socket, reason) {
    if (this.#socket !== socket || this.#isOver) return;
    if (this.#isLive) {
      this.#resume = this.#unheard();
      if (Date.now() - this.#liveAt > STABLE_MS) this.#failures = 0;
    }
    for (const id of this.#items.keys()) this.#superseded.push(this.#name(id));
    this.#leave();
    if (this.#failures === PAUSES_MS.length) {
      this.#off(reason);
      return;
    }
    this.#retry = setTimeout(() => this.#connect(), PAUSES_MS[this.#failures]);
    this.#failures += 1;
    this.#listener.onState("lost", reason);
  }

  #off(reason) {
    this.close();
    this.#listener.onState("off", reason);
  }

  #leave() {
    this.#isLive = false;
    this.#items.clear();
    const socket = this.#socket;
    this.#socket = null;
    socket?.close();
    this.#settled?.();
  }

  /** Drop the partial texts of broken connections, as soon as the same speech has text again. */
  #drop() {
    for (const name of this.#superseded.splice(0)) this.#listener.onDropped(name);
  }

  #item(id) {
    if (!this.#items.has(id)) this.#items.set(id, { text: "", start: null, end: null });
    return this.#items.get(id);
  }

  /** Return the place in the recording of a time in this connection. */
  #place(milliseconds) {
    return this.#begin + Math.round((milliseconds / 1000) * this.#recording.rate);
  }

  /** Return from where another connection has to hear again. */
  #unheard() {
    const starts = [...this.#items.values()].map(({ start }) => start ?? this.#final);
    return starts.length
      ? Math.min(...starts)
      : Math.max(this.#final, this.#sent - REPEATED_S * this.#recording.rate);
  }

  /** Return the name of an item among those of all connections. */
  #name(id) {
    return `${this.#connections}:${id}`;
  }
}

function say(socket, event) {
  socket.send(JSON.stringify(event));
}

/** @param {Int16Array} samples little-endian, as the processors of browsers have them */
function base64(samples) {
  const bytes = new Uint8Array(samples.buffer, samples.byteOffset, samples.byteLength);
  let text = "";
  for (let place = 0; place < bytes.length; place += 8192) {
    text += String.fromCharCode(...bytes.subarray(place, place + 8192));
  }
  return btoa(text);
}
