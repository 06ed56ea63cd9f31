/** The gateway's API, as this page calls it. */

import * as key from "./key.js";

/** Where the gateway is; behind a proxy this may be a folder. */
const ROOT = new URL("../", import.meta.url);

const GONE = "The gateway did not answer. Is it still running, and is this machine online?";

/** An answer that says what is wrong. */
export class ApiError extends Error {
  /**
   * @param {string} message for people
   * @param {number} status of HTTP; 0 if there was no answer
   * @param {string} requestId by which the gateway's log knows the request; "" if there was no answer
   */
  constructor(message, status = 0, requestId = "") {
    super(message);
    this.status = status;
    this.requestId = requestId;
  }
}

/**
 * Ask what a page has to know before its first call.
 *
 * @returns {Promise<{needs_key: boolean}>}
 */
export async function settings() {
  return read(await ask("page/settings.json"));
}

/**
 * Ask for the names of the models, the default one first.
 *
 * @returns {Promise<string[]>}
 */
export async function models() {
  const { data } = await read(await ask("v1/models"));
  return data.map((model) => model.id);
}

/**
 * Fetch one of the page's recordings.
 *
 * @param {string} name
 * @returns {Promise<File>}
 */
export async function sample(name) {
  const answer = await ask(`page/samples/${name}`);
  if (!answer.ok) throw new ApiError(`The sample ${name} is not there.`, answer.status);
  const blob = await answer.blob();
  return new File([blob], name, { type: blob.type });
}

/**
 * Transcribe a recording: one request for all that the page shows and offers, because a long recording is long work.
 *
 * @param {{file: File, model: string, hotwords: string[]}} what
 * @param {{signal: AbortSignal, onUpload: (done: number) => void}} how `done` goes from 0 to 1
 * @returns {Promise<object>} the verbose_json, with words, logprobs, srt and vtt
 * @throws {ApiError} the gateway says why not, or does not answer
 * @throws {DOMException} AbortError: `signal` ended it, and the gateway ends the work
 */
export function transcribe({ file, model, hotwords }, { signal, onUpload }) {
  const form = new FormData();
  form.append("model", model);
  form.append("response_format", "verbose_json");
  for (const name of ["word", "segment"]) form.append("timestamp_granularities[]", name);
  for (const name of ["logprobs", "srt", "vtt"]) form.append("include[]", name);
  for (const word of hotwords) form.append("keywords[]", word);
  form.append("file", file, file.name);
  // fetch() does not say how much of an upload is done.
  const request = new XMLHttpRequest();
  return new Promise((resolve, reject) => {
    signal.throwIfAborted();
    signal.addEventListener("abort", () => request.abort(), { once: true });
    request.open("POST", new URL("v1/audio/transcriptions", ROOT));
    for (const [name, value] of Object.entries(authorization())) request.setRequestHeader(name, value);
    request.upload.onprogress = (event) => event.lengthComputable && onUpload(event.loaded / event.total);
    request.upload.onload = () => onUpload(1);
    request.onabort = () => reject(signal.reason);
    request.onerror = () => reject(new ApiError(GONE));
    request.onload = () => {
      if (request.status === 200) resolve(parsed(request.responseText, request.status));
      else reject(failure(request.responseText, request.status, request.getResponseHeader("x-request-id")));
    };
    request.send(form);
  });
}

/**
 * Open the socket of live captions.
 *
 * @returns {WebSocket}
 */
export function realtimeSocket() {
  const url = new URL("v1/realtime?intent=transcription", ROOT);
  url.protocol = url.protocol === "https:" ? "wss:" : "ws:";
  // Pages cannot set headers of a socket, so the key is a protocol.
  return new WebSocket(url, key.get() ? ["realtime", `openai-insecure-api-key.${key.get()}`] : ["realtime"]);
}

/** @returns {Promise<Response>} */
async function ask(path) {
  try {
    return await fetch(new URL(path, ROOT), { headers: authorization() });
  } catch {
    throw new ApiError(GONE);
  }
}

async function read(answer) {
  const text = await answer.text();
  if (!answer.ok) throw failure(text, answer.status, answer.headers.get("x-request-id"));
  return parsed(text, answer.status);
}

function authorization() {
  return key.get() ? { authorization: `Bearer ${key.get()}` } : {};
}

function parsed(text, status) {
  try {
    return JSON.parse(text);
  } catch {
    throw new ApiError(`What answered is no gateway: HTTP ${status}, and no JSON.`, status);
  }
}

/** Read an error in OpenAI's shape; a proxy may have another one. */
function failure(text, status, requestId) {
  let message = `HTTP ${status}, without a reason. A proxy before the gateway may have answered.`;
  try {
    message = JSON.parse(text).error.message;
  } catch {
    // The sentence above has to do.
  }
  return new ApiError(message, status, requestId ?? "");
}
