// The page: what is asked, when it is asked again, and where answers go.

import { Controls, element } from "./controls.js";
import { Groups, blank, inOrder, picture, shown, sound } from "./results.js";
import { Problem, get, isAbort, post, upload } from "./server.js";
import { Tray } from "./tray.js";

const by = (id) => document.getElementById(id);
const WAIT_TYPING_MS = 250;
const WAIT_SLIDING_MS = 40;
const AGAIN_MS = 3000;

let about, controls, groups, tray;
let query = null; // { ask, label, modality, key, ... }
let trained = null; // { key, hits: modality to numbers } of the query at the trained factors
let view = "near";

// --- what is said ------------------------------------------------------------------------

const say = (text) => { by("status").textContent = text; };

function report(error) {
  if (isAbort(error)) return;
  if (!(error instanceof Problem)) throw error;
  const { what, why, fix } = error.body;
  const sentence = (text) => text.charAt(0).toUpperCase() + text.slice(1);
  by("problem-what").textContent = sentence(what);
  by("problem-why").textContent = why ? `Why: ${why}` : "";
  by("problem-fix").textContent = fix ? `Fix: ${fix}` : "";
  by("problem").hidden = false;
  say("");
  if (error.status === 0) waitForServer();
}

const forget = () => { by("problem").hidden = true; };

let waiting = false;
async function waitForServer() {
  if (waiting) return;
  waiting = true;
  document.body.classList.add("gone");
  for (;;) {
    await new Promise((resolve) => setTimeout(resolve, AGAIN_MS));
    try {
      await get("/api/about");
      break;
    } catch (error) {
      if (error.status) { report(error); break; }
    }
  }
  waiting = false;
  document.body.classList.remove("gone");
  forget();
  ask();
}

// --- asking: later questions replace earlier ones ------------------------------------------

class Turn {
  #timer = 0;
  #controller = null;

  later(work, wait) {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.now(work), wait);
  }

  async now(work) {
    clearTimeout(this.#timer);
    this.#controller?.abort();
    const controller = new AbortController();
    this.#controller = controller;
    try {
      await work(controller.signal);
    } catch (error) {
      if (!controller.signal.aborted) report(error);
    }
  }

  cancel() {
    clearTimeout(this.#timer);
    this.#controller?.abort();
  }
}

const turns = { near: new Turn(), compare: new Turn(), classes: new Turn(), upload: new Turn() };

// A file that the server no longer holds is sent again, once.
async function withFiles(items, work) {
  try {
    return await work();
  } catch (error) {
    const lost = items.filter((item) => item?.file && error.body?.upload === item.ask.upload);
    if (error.status !== 404 || !lost.length) throw error;
    for (const item of lost) await upload(item.file, item.modality);
    return work();
  }
}

function ask(wait = 0) {
  by("near-tools").hidden = !about.indexes.length;
  if (about.indexes.length && query) turns.near.later(search, wait);
  if (view === "compare") turns.compare.later(compare, wait);
  if (view === "classes") by("classes").classList.toggle("stale", by("classes").childElementCount > 0);
}

async function search(signal) {
  const own = query;
  const index = Number(by("index").value || 0);
  const into = [...document.querySelectorAll("#modalities input:checked")].map((box) => box.value);
  if (!into.length) { groups.clear(); say("No modality is chosen."); return; }
  const body = { query: own.ask, index, into, k: Number(by("k").value) };
  const slow = setTimeout(() => { say("Searching…"); by("groups").setAttribute("aria-busy", "true"); }, 200);
  try {
    const settings = controls.settings();
    const found = await withFiles([own], () => post("/api/search", { ...body, ...settings }, signal));
    const key = JSON.stringify([own.key, index, into, body.k]);
    if (controls.isTrained()) {
      trained = { key, hits: numbers(found) };
    } else if (trained?.key !== key) {
      trained = { key, hits: numbers(await post("/api/search", body, signal)) };
    }
    if (signal.aborted) return;
    forget();
    by("begin").hidden = true;
    groups.show(found.groups, about.indexes[index].counts, controls.isTrained() ? null : trained.hits);
    showCommand(found.command);
    const n = Object.values(found.groups).reduce((sum, group) => sum + group.hits.length, 0);
    const at = controls.isTrained() ? "the trained factors" : "your factors";
    say(`${n} hits at ${at}, in ${(found.embedding_ms + found.search_ms).toFixed(0)} ms`);
  } finally {
    clearTimeout(slow);
    if (!signal.aborted) by("groups").removeAttribute("aria-busy");
  }
}

const numbers = (found) =>
  Object.fromEntries(Object.entries(found.groups).map(([m, group]) => [m, group.hits.map((hit) => hit.number)]));

function showCommand(command) {
  by("command-panel").hidden = false;
  by("command").textContent = command ?? "";
  by("copy").hidden = !command;
  by("command").parentElement.hidden = !command;
  const note = by("command-note");
  note.hidden = Boolean(command) && !query.file;
  note.textContent = command
    ? "The file goes by its name: run it in the file's folder."
    : "An item that lies in no file cannot be named on the command line.";
}

async function compare(signal) {
  by("tray-count").textContent = tray.items.length;
  by("compare-lead").hidden = tray.items.length > 1;
  if (!tray.items.length) { tray.show([]); return; }
  const items = tray.items;
  const body = { items: items.map((item) => item.ask), ...controls.settings() };
  const found = await withFiles(items, () => post("/api/similarity", body, signal));
  if (signal.aborted) return;
  forget();
  tray.show(found.cosines);
  say(`${items.length} items compared`);
}

async function classes(signal) {
  const place = by("classes");
  if (!query) { say("There is no query yet."); by("text").focus(); return; }
  const own = query;
  const body = { query: own.ask, knowledge: by("knowledge").value, top: 10, ...controls.settings() };
  place.setAttribute("aria-busy", "true");
  say("Naming classes; at new factors their descriptions are weighed again, which takes seconds…");
  try {
    const found = await withFiles([own], () => post("/api/classes", body, signal));
    if (signal.aborted) return;
    forget();
    const best = Math.max(...found.classes.map((entry) => entry.score), 0.001);
    const rows = found.classes.map((entry) => {
      const bar = element("span", { className: "meter", "aria-hidden": "true" });
      bar.style.setProperty("--share", Math.max(0, entry.score / best));
      return element("li", {}, element("span", { className: "name", textContent: entry.class }), bar,
        element("span", { className: "score", textContent: entry.score.toFixed(3) }));
    });
    const { descriptions, kb } = found.centres;
    const words = [`${own.label}: the best of ${found.of} classes`];
    if (descriptions) words.push(`${descriptions.used.toLocaleString("en")} of ${descriptions.of.toLocaleString("en")} descriptions of ${kb}`);
    if (about.lab) words.push(`lab: ${about.lab}`);
    place.replaceChildren(element("p", { className: "note", textContent: words.join(" · "), dir: "auto" }),
      element("ol", { className: "classes" }, ...rows),
      ...found.notices.map((text) => element("p", { className: "note", textContent: text })));
    place.classList.remove("stale");
    say(`${found.classes[0]?.class ?? "no class"} is nearest`);
  } finally {
    if (!signal.aborted) place.removeAttribute("aria-busy");
  }
}

// --- the query -----------------------------------------------------------------------------

function take(own, wait = 0) {
  query = own;
  trained = null;
  showChosen();
  ask(wait);
}

function typed() {
  const text = by("text").value;
  by("file").value = "";
  if (!text.trim()) {
    if (query?.ask.text !== undefined) { turns.near.cancel(); query = null; showChosen(); begin(); }
    return;
  }
  take({ ask: { text }, label: text, modality: "text", key: `text:${text}` }, WAIT_TYPING_MS);
}

function searchWith(hit) {
  const index = hit.index ?? Number(by("index").value || 0);
  if (hit.modality === "text" && hit.source && about.takes_text) {
    by("text").value = hit.source.slice(0, about.limits.text);
    typed();
  } else {
    by("text").value = "";
    take(ofIndex(hit, index));
  }
  scrollTo({ top: 0, behavior: matchMedia("(prefers-reduced-motion: reduce)").matches ? "auto" : "smooth" });
}

const ofIndex = (hit, index) => ({
  ...hit,
  ask: { index, modality: hit.modality, number: hit.number },
  key: `${index}/${hit.modality}/${hit.number}`,
});

function takeFile(file, modality) {
  if (!file) return;
  show("near");
  if (file.size > about.limits.upload_bytes) {
    report(new Problem({
      what: `'${file.name}' has more than ${about.limits.upload_bytes >> 20} MiB`, why: "",
      fix: "cut it up, or use molspace search on the command line",
    }, 413, 0));
    return;
  }
  turns.upload.now(async (signal) => {
    say(`Reading ${file.name}…`);
    const found = await upload(file, modality, signal);
    if (signal.aborted) return;
    forget();
    by("text").value = "";
    say("");
    take({ ...found, file, ask: { upload: found.upload }, label: found.name, key: `upload:${found.upload}` });
  });
}

function showChosen() {
  const place = by("chosen");
  place.hidden = !query || query.ask.text !== undefined;
  if (place.hidden) { place.replaceChildren(); return; }
  let media = blank(query.modality);
  if (query.file) {
    if (query.modality === "audio") media = sound(query.play ?? URL.createObjectURL(query.file), query.label, null, query.peaks);
    else if (query.picture) media = picture(query.picture, query.label);
  } else media = shown(query);
  const facts = element("div", { className: "chosen-facts" }, element("span", { className: "name", textContent: query.label, dir: "auto" }));
  if (query.others?.length) {
    const kinds = element("select", { id: "taken-as" }, ...[query.modality, ...query.others].map((m) => element("option", { textContent: m })));
    kinds.addEventListener("change", () => takeFile(query.file, kinds.value));
    facts.append(element("label", {}, "taken as ", kinds));
  } else facts.append(element("span", { className: "chip", textContent: query.modality }));
  const clear = element("button", { type: "button", textContent: "Remove", "aria-label": `Remove ${query.label}` });
  clear.addEventListener("click", () => { turns.near.cancel(); query = null; by("file").value = ""; showChosen(); begin(); by("text").focus(); });
  facts.append(clear);
  place.replaceChildren(media, facts);
}

function addQuery() {
  if (!query) { say("There is no query yet."); return; }
  add(query);
}

function add(item) {
  const refusal = tray.add(item);
  say(refusal ? `Not added: ${refusal}.` : `Added to the comparison: ${tray.items.length} items.`);
}

// --- to begin with ---------------------------------------------------------------------------

async function begin() {
  groups.clear();
  by("command-panel").hidden = true;
  by("classes").replaceChildren();
  const place = by("begin");
  place.hidden = false;
  if (!about.indexes.length) {
    place.replaceChildren(element("p", { className: "lead", textContent: "No index is open, so there is nothing to search: add items to Compare, or name their Classes. Start with an index: molspace serve BUNDLE --index DIR" }));
    return;
  }
  const index = Number(by("index").value || 0);
  const sizes = { image: 8, text: 4, audio: 4, video: 4 };
  const modalities = inOrder(Object.keys(about.indexes[index].counts)).filter((m) => sizes[m] || about.indexes[index].counts[m]);
  say("");
  const parts = [element("p", { className: "lead", textContent: "Type a text, drop a file, or begin with one of these." })];
  try {
    for (const modality of modalities.slice(0, 4)) {
      const { items } = await get(`/api/indexes/${index}/${encodeURIComponent(modality)}?n=${sizes[modality] ?? 6}`);
      const list = element("ul", { className: `starts ${modality}` });
      for (const item of items) {
        const button = element("button", { type: "button", "aria-label": `Search with ${item.label}` });
        if (modality === "text") button.append(element("span", { textContent: item.label, dir: "auto" }));
        else if (item.picture) button.append(picture(item.picture, ""));
        else button.append(blank(modality === "audio" ? `♪ ${item.label}` : item.label));
        button.addEventListener("click", () => searchWith({ ...item, source: modality === "text" ? item.label : item.source, index }));
        list.append(element("li", {}, button));
      }
      parts.push(element("h3", { textContent: modality }), list);
    }
  } catch (error) {
    report(error);
  }
  if (!query) place.replaceChildren(...parts);
}

// --- views -------------------------------------------------------------------------------------

const VIEWS = ["near", "compare", "classes"];

function show(name, focus = false) {
  view = name;
  for (const own of VIEWS) {
    const tab = by(`tab-${own}`);
    tab.setAttribute("aria-selected", String(own === name));
    tab.tabIndex = own === name ? 0 : -1;
    by(`view-${own}`).hidden = own !== name;
  }
  if (focus) by(`tab-${name}`).focus();
  if (name === "compare") turns.compare.now(compare);
}

function wire() {
  for (const [i, name] of VIEWS.entries()) {
    const tab = by(`tab-${name}`);
    tab.addEventListener("click", () => show(name));
    tab.addEventListener("keydown", (event) => {
      const step = { ArrowRight: 1, ArrowLeft: -1, Home: -i, End: VIEWS.length - 1 - i }[event.key];
      if (step === undefined) return;
      event.preventDefault();
      show(VIEWS[(i + step + VIEWS.length) % VIEWS.length], true);
    });
  }
  by("query").addEventListener("submit", (event) => event.preventDefault());
  by("text").addEventListener("input", typed);
  by("text").addEventListener("keydown", (event) => {
    if (event.key === "Enter" && !event.shiftKey) { event.preventDefault(); show("near"); ask(); }
  });
  by("file").addEventListener("change", () => takeFile(by("file").files[0]));
  by("problem-close").addEventListener("click", forget);
  by("index").addEventListener("change", () => { trained = null; showModalities(); if (query) ask(); else begin(); });
  by("k").addEventListener("change", () => ask());
  by("add-query").addEventListener("click", addQuery);
  by("clear-tray").addEventListener("click", () => tray.clear());
  by("name-classes").addEventListener("click", () => turns.classes.now(classes));
  by("copy").addEventListener("click", copy);
  for (const button of document.querySelectorAll("[data-preset]")) {
    button.addEventListener("click", () => controls.preset(button.dataset.preset));
  }
  let depth = 0;
  const holdsFiles = (event) => [...event.dataTransfer.types].includes("Files");
  const veil = (on) => document.body.classList.toggle("dropping", on);
  addEventListener("dragenter", (event) => { if (holdsFiles(event)) { depth += 1; veil(true); } });
  addEventListener("dragleave", (event) => { if (holdsFiles(event)) { depth -= 1; veil(depth > 0); } });
  addEventListener("dragover", (event) => event.preventDefault());
  addEventListener("drop", (event) => {
    event.preventDefault();
    depth = 0;
    veil(false);
    const { files } = event.dataTransfer;
    if (files.length) takeFile(files[0]);
    if (files.length > 1) say("One file at a time: the first was taken.");
  });
  addEventListener("paste", (event) => {
    const file = event.clipboardData?.files[0];
    if (file) { event.preventDefault(); takeFile(file); }
  });
}

async function copy() {
  const text = by("command").textContent;
  try {
    await navigator.clipboard.writeText(text);
    say("Copied.");
  } catch { // no permission, or no secure context: it is selected instead
    getSelection().selectAllChildren(by("command"));
    say("Selected: copy it with Ctrl-C.");
  }
}

function showModalities() {
  const counts = about.indexes[Number(by("index").value || 0)]?.counts ?? {};
  const legend = by("modalities").querySelector("legend");
  const boxes = inOrder(Object.keys(counts)).map((modality) => {
    const box = element("input", { type: "checkbox", checked: true, value: modality });
    box.addEventListener("change", () => ask());
    return element("label", { className: "chip" }, box, element("span", { textContent: modality }));
  });
  by("modalities").replaceChildren(legend, ...boxes);
}

async function start() {
  try {
    about = await get("/api/about");
  } catch (error) {
    report(error);
    return;
  }
  by("expression").textContent = about.expression;
  document.title = `${about.expression} · molspace`;
  by("lab").hidden = !about.lab;
  by("lab").textContent = `lab: ${about.lab}`;
  by("about").textContent = [
    about.lab ? `lab: ${about.lab}` : "", `${about.dim} dimensions`, about.modalities.join(", "), about.bundle ?? "a space by itself",
  ].filter(Boolean).join(" · ");
  by("text-field").hidden = !about.takes_text;
  by("text").maxLength = about.limits.text;
  const kinds = Object.keys(about.takes_files);
  by("drop").hidden = !kinds.length;
  by("takes").textContent = `${kinds.join(", ")}; up to ${about.limits.upload_bytes >> 20} MiB`;
  controls = new Controls(by("factors"), about.controls, () => ask(WAIT_SLIDING_MS));
  controls.show();
  document.querySelector(".presets").hidden = !about.controls.some((own) => own.free);
  by("fold").open = !matchMedia("(max-width: 860px)").matches; // there it would hide the results
  groups = new Groups(by("groups"), { search: searchWith, compare: (hit) => add(ofIndex(hit, Number(by("index").value || 0))) });
  tray = new Tray(by("matrix"), about.limits.compared, () => {
    by("tray-count").textContent = tray.items.length;
    if (view === "compare") turns.compare.now(compare);
  });
  by("index").replaceChildren(...about.indexes.map((own) => element("option", { value: own.number, textContent: own.name })));
  by("index-field").hidden = about.indexes.length < 2;
  by("knowledge").replaceChildren(...about.knowledge.map((name) => element("option", { textContent: name })));
  by("tab-classes").hidden = !about.knowledge.length;
  showModalities();
  wire();
  await begin();
  document.documentElement.dataset.ready = "yes";
}

start();
