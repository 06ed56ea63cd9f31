/** The page: from a recording or the microphone to a transcript. */

import "./captions.js";
import "./drop.js";
import "./meter.js";
import "./transcript.js";
import * as api from "./api.js";
import { clock } from "./clock.js";
import { Dictation } from "./dictation.js";
import * as key from "./key.js";
import { whyNot } from "./microphone.js";
import { Notes } from "./notes.js";
import { Result } from "./result.js";

const find = (id) => document.getElementById(id);
const captions = document.querySelector("live-captions");
const meter = document.querySelector("level-meter");
const result = new Result(find("result"));
let dictation = null;
let notes = null; // of the dictation

function options() {
  const hotwords = find("hotwords").value.split(",").map((word) => word.trim());
  return { model: find("model").value, hotwords: hotwords.filter(Boolean) };
}

/** Tell a screen reader. */
function announce(text) {
  find("announcer").textContent = text;
}

/**
 * Show what went wrong.
 *
 * @param {Error} error
 * @param {(() => void) | null} again what a button tries again
 */
function complain(error, again) {
  find("problem-text").textContent = error.message;
  find("problem-id").textContent = error.requestId ? `In the gateway's log: ${error.requestId}` : "";
  find("again").hidden = !again;
  find("again").onclick = again;
  find("problem").hidden = false;
  find("problem").scrollIntoView({ block: "nearest" });
  if (error.status === 401) askForKey(again);
}

/** Begin something new: what was before is no longer of interest. */
function begin() {
  find("problem").hidden = true;
  find("unheard").hidden = true;
  result.hide();
  find("ways").disabled = true;
}

function askForKey(then) {
  find("key-form").hidden = false;
  find("key").value = "";
  find("key").focus();
  find("key-form").onsubmit = (event) => {
    event.preventDefault();
    key.set(find("key").value.trim());
    find("key-form").hidden = true;
    find("problem").hidden = true;
    (then ?? loadModels)();
  };
}

async function start() {
  try {
    const { needs_key: needsKey } = await api.settings();
    if (needsKey && !key.get()) askForKey(loadModels);
    else await loadModels();
  } catch (error) {
    complain(error, start);
  }
}

async function loadModels() {
  find("problem").hidden = true;
  try {
    const names = await api.models();
    if (!names.length) throw new Error("The gateway has no models: its Triton server serves none yet.");
    find("model").replaceChildren(...names.map((name) => new Option(name, name)));
    find("model").disabled = false;
    find("ways").disabled = false;
  } catch (error) {
    complain(error, loadModels);
  }
}

/**
 * Transcribe a recording and show the result.
 *
 * @param {File} file
 * @param {boolean} isOurs this page recorded it
 */
async function transcribe(file, isOurs) {
  begin();
  const what = { file, ...options() };
  const controller = new AbortController();
  find("cancel").onclick = () => controller.abort();
  const title = isOurs ? "the recording" : file.name;
  const began = Date.now();
  const sayProgress = showProgress(title, began);
  const ticking = setInterval(sayProgress, 1000);
  sayProgress(0);
  find("work").hidden = false;
  find("cancel").focus();
  announce(`Transcribing ${title}.`);
  try {
    const answer = await api.transcribe(what, { signal: controller.signal, onUpload: sayProgress });
    if (isOurs) find("live").hidden = true;
    result.show(file, answer, { model: what.model, isOurs });
    announce("The transcript is ready.");
  } catch (error) {
    if (controller.signal.aborted) announce("Cancelled.");
    else complain(error, isOurs ? null : () => transcribe(file, false));
    if (isOurs) keep(file);
  } finally {
    clearInterval(ticking);
    find("work").hidden = true;
    find("ways").hidden = false;
    find("ways").disabled = false;
    if (!find("result").hidden) find("result").scrollIntoView();
    if (document.activeElement === document.body) find("file").focus();
  }
}

/** Return a function that shows how far a transcription is; its argument is the part of the upload that is done. */
function showProgress(title, began) {
  let uploaded = 0;
  return (done) => {
    uploaded = done ?? uploaded;
    const bar = find("progress");
    if (uploaded < 1) bar.value = uploaded;
    else bar.removeAttribute("value"); // nobody knows how long the server works
    const doing = uploaded < 1 ? `Sending ${title}: ${Math.round(uploaded * 100)} %` : `Transcribing ${title}`;
    find("work-status").textContent = `${doing} · ${clock((Date.now() - began) / 1000)}`;
  };
}

/** Offer a recording of the microphone that has no transcript: it and its captions can be kept, or it is tried again. */
function keep(file) {
  find("live-title").textContent = "Not transcribed";
  offer(find("keep"), file, file.name);
  offer(find("keep-captions"), new Blob([`${captions.text}\n`], { type: "text/plain" }), "captions.txt");
  find("keep-captions").hidden = !captions.text;
  find("retry").onclick = () => transcribe(file, true);
  find("unheard").hidden = false;
}

function offer(link, blob, name) {
  URL.revokeObjectURL(link.href); // of the recording before
  link.href = URL.createObjectURL(blob);
  link.download = name;
}

async function record() {
  begin();
  captions.clear();
  meter.clear();
  notes = new Notes(find("live-note"));
  try {
    dictation = await Dictation.begin(options(), {
      onPartial: (item, text) => captions.partial(item, text),
      onFinal: (item, text) => captions.final(item, text),
      onDropped: (item) => captions.drop(item),
      onState: (state, reason) => notes.state(state, reason),
      onLevel: (peak) => {
        meter.show(peak);
        notes.heard(peak);
        if (dictation) find("clock").textContent = clock(dictation.recording.seconds);
      },
      onGone: () => stop("The microphone went away."),
    });
  } catch (error) {
    notes.end("");
    complain(error, record);
    find("ways").disabled = false;
    return;
  }
  showLive(true);
}

/** Show the live captions in place of the ways to a recording. */
function showLive(isOn) {
  find("live").hidden = false;
  find("live-title").textContent = isOn ? "Listening" : "Finishing";
  find("ways").hidden = true;
  find("stop").hidden = !isOn;
  meter.hidden = !isOn;
  if (isOn) find("stop").focus();
}

/**
 * End the dictation, and transcribe what was recorded, which gives each word its time.
 *
 * @param {string} reason if the user did not ask for it
 */
async function stop(reason = "") {
  if (!dictation) return;
  const ended = dictation;
  dictation = null;
  notes.end(reason);
  showLive(false);
  const file = await ended.end();
  captions.settle();
  await transcribe(file, true);
}

find("record").addEventListener("click", () => {
  const reason = whyNot();
  if (reason) complain(new Error(reason), null);
  else record();
});
find("stop").addEventListener("click", () => stop());
document.querySelector("drop-zone").addEventListener("files", ({ detail: [file] }) => transcribe(file, false));
for (const button of document.querySelectorAll("[data-sample]")) {
  button.addEventListener("click", async () => {
    begin();
    try {
      await transcribe(await api.sample(button.dataset.sample), false);
    } catch (error) {
      find("ways").disabled = false;
      complain(error, null);
    }
  });
}
// A page that is left holds no microphone, also where the browser keeps the page to come back to it.
addEventListener("pagehide", () => stop("The page was left, which turned the microphone off."));
if (whyNot()) find("record-hint").textContent = whyNot();
start();
