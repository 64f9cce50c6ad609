// Hits: a list for each modality, whose cards move to their new places.

import { element } from "./controls.js";
import { get } from "./server.js";

const ORDER = ["image", "audio", "text", "video", "depth", "thermal", "event", "point"];
const PIXELS = 128;

export const inOrder = (modalities) =>
  [...modalities].sort((a, b) => (ORDER.indexOf(a) + 99) % 99 - (ORDER.indexOf(b) + 99) % 99);

const still = matchMedia("(prefers-reduced-motion: reduce)");

// --- pictures and sounds -----------------------------------------------------------------

export function outline(values) {
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  svg.setAttribute("viewBox", `0 0 ${values.length * 3} 40`);
  svg.setAttribute("preserveAspectRatio", "none");
  svg.setAttribute("aria-hidden", "true");
  values.forEach((value, i) => {
    const bar = document.createElementNS("http://www.w3.org/2000/svg", "rect");
    const height = Math.max(1.5, 38 * value);
    for (const [name, own] of Object.entries({ x: i * 3, y: 20 - height / 2, width: 2, height, rx: 1 })) {
      bar.setAttribute(name, own);
    }
    svg.append(bar);
  });
  return svg;
}

export function picture(address, description, failed) {
  const image = element("img", { alt: description, loading: "lazy", decoding: "async" });
  image.addEventListener("load", () => {
    image.classList.toggle("tiny", Math.max(image.naturalWidth, image.naturalHeight) <= PIXELS);
  });
  image.addEventListener("error", () => image.replaceWith(failed?.() ?? blank("cannot be shown")));
  image.src = address;
  return image;
}

export const blank = (text) => element("span", { className: "blank", textContent: text });

// One sound at a time.
const player = new Audio();
let playing = null;

function stop() {
  player.pause();
  if (playing) {
    playing.classList.remove("playing");
    playing.querySelector("button").setAttribute("aria-pressed", "false");
    playing.style.setProperty("--played", 0);
  }
  playing = null;
}

player.addEventListener("ended", stop);
player.addEventListener("error", () => {
  playing?.querySelector(".wave").replaceChildren(blank("cannot be played"));
  stop();
});
(function follow() {
  if (playing && player.duration) playing.style.setProperty("--played", player.currentTime / player.duration);
  requestAnimationFrame(follow);
})();

export function sound(address, name, outlineAddress, values) {
  const wave = element("span", { className: "wave" });
  const button = element("button", { type: "button", className: "play", "aria-label": `Play ${name}`, "aria-pressed": "false" });
  const own = element("div", { className: "sound" }, button, wave);
  if (!address) button.disabled = true;
  button.addEventListener("click", () => {
    const again = playing === own;
    stop();
    if (again) return;
    playing = own;
    own.classList.add("playing");
    button.setAttribute("aria-pressed", "true");
    player.src = address;
    player.play().catch((error) => { if (error.name !== "AbortError") stop(); });
  });
  if (values) wave.append(outline(values));
  else if (outlineAddress) {
    new IntersectionObserver((entries, observer) => {
      if (!entries.some((entry) => entry.isIntersecting)) return;
      observer.disconnect();
      get(outlineAddress).then((body) => wave.append(outline(body.peaks)), (error) => wave.append(blank(error.message)));
    }).observe(own);
  } else wave.append(blank("no sound to show"));
  return own;
}

function video(hit) {
  const own = element("video", { controls: true, preload: "none", playsInline: true });
  own.setAttribute("aria-label", hit.label);
  if (hit.picture) own.poster = hit.picture;
  own.src = hit.play;
  return own;
}

// Names of members of one tar or parquet file differ at their ends: long ones lose their beginnings.
export function nameOf(item, title) {
  if (!item.within) return element("span", { className: "name", textContent: item.label, title, dir: "auto" });
  return element("span", { className: "name by-end", title }, element("bdi", { textContent: item.label }));
}

export function shown(hit) {
  if (hit.modality === "text") return element("p", { className: "text", textContent: hit.label, dir: "auto" });
  if (hit.modality === "audio" && (hit.outline || hit.play)) return sound(hit.play, hit.label, hit.outline);
  if (hit.modality === "video" && hit.play) return video(hit);
  if (hit.picture) return picture(hit.picture, `${hit.modality}: ${hit.label}`);
  return blank(hit.label);
}

// --- groups ------------------------------------------------------------------------------

export class Groups {
  constructor(place, actions) {
    this.place = place;
    this.actions = actions;
    this.groups = new Map();
  }

  clear() {
    this.groups.clear();
    this.place.replaceChildren();
  }

  // baseline: modality to the numbers of its hits at the trained factors, or null.
  show(found, counts, baseline) {
    const before = this.#places();
    const modalities = inOrder(Object.keys(found));
    for (const [modality, group] of this.groups) {
      if (!modalities.includes(modality)) { group.section.remove(); this.groups.delete(modality); }
    }
    for (const modality of modalities) {
      const group = this.groups.get(modality) ?? this.#group(modality);
      this.place.append(group.section);
      this.#fill(group, modality, found[modality], counts?.[modality], baseline?.[modality]);
    }
    this.#move(before);
  }

  #group(modality) {
    const heading = element("h3", { id: `near-${modality}`, textContent: modality });
    const count = element("span", { className: "count" });
    const list = element("ol", { className: `hits ${modality}`, "aria-labelledby": `near-${modality}` });
    const head = element("div", { className: "group-head" }, heading, count);
    const group = { section: element("section", { className: "group" }, head, list), list, count, cards: new Map() };
    this.groups.set(modality, group);
    return group;
  }

  #fill(group, modality, found, count, trained) {
    group.count.textContent = count ? `of ${count.toLocaleString("en")}` : "";
    group.section.querySelector(".refusal")?.remove();
    if (found.error) {
      const text = [found.error.what, found.error.fix].filter(Boolean).join("; ");
      group.section.append(element("p", { className: "refusal note", textContent: text }));
    }
    const kept = new Map();
    for (const hit of found.hits) {
      const card = group.cards.get(hit.number) ?? this.#card(hit);
      kept.set(hit.number, card);
      this.#mark(card, hit, trained);
    }
    group.cards = kept;
    const order = [...kept.values()].map((card) => card.own);
    const there = [...group.list.children];
    if (order.length !== there.length || order.some((own, i) => own !== there[i])) {
      const focused = document.activeElement;
      group.list.replaceChildren(...order);
      if (focused && group.list.contains(focused)) focused.focus({ preventScroll: true });
    }
  }

  #card(hit) {
    const rank = element("span", { className: "rank" });
    const moved = element("span", { className: "delta" });
    const score = element("span", { className: "score" });
    const meter = element("span", { className: "meter", "aria-hidden": "true" });
    const name = nameOf(hit, hit.source || hit.id);
    const search = element("button", { type: "button", textContent: "Search", "aria-label": `Search with ${hit.label}` });
    const compare = element("button", { type: "button", textContent: "Compare", "aria-label": `Add ${hit.label} to the comparison` });
    search.addEventListener("click", () => this.actions.search(hit));
    compare.addEventListener("click", () => this.actions.compare(hit));
    const facts = element("div", { className: "facts" }, rank, moved, score);
    const media = element("div", { className: "media" }, shown(hit));
    const parts = hit.modality === "text" ? [] : [name];
    const own = element("li", { className: "hit", dataset: { key: `${hit.modality}/${hit.number}` } },
      media, ...parts, facts, meter, element("div", { className: "actions" }, search, compare));
    return { own, rank, moved, score, meter };
  }

  #mark(card, hit, trained) {
    card.rank.textContent = `${hit.rank}`;
    card.score.textContent = hit.score.toFixed(3);
    card.meter.style.setProperty("--share", Math.max(0, Math.min(1, hit.score)));
    card.moved.className = "delta";
    card.moved.textContent = "";
    if (!trained) return;
    const was = trained.indexOf(hit.number) + 1;
    if (was === 0) {
      card.moved.textContent = "new";
      card.moved.classList.add("up");
      card.moved.title = "not among the hits at the trained factors";
    } else if (was !== hit.rank) {
      const up = was > hit.rank;
      card.moved.textContent = `${up ? "▲" : "▼"}${Math.abs(was - hit.rank)}`;
      card.moved.classList.add(up ? "up" : "down");
      card.moved.title = `number ${was} at the trained factors`;
    }
  }

  #places() {
    const places = new Map();
    for (const group of this.groups.values()) {
      for (const card of group.cards.values()) places.set(card.own, card.own.getBoundingClientRect());
    }
    return places;
  }

  #move(before) {
    if (still.matches) return;
    for (const group of this.groups.values()) {
      for (const { own } of group.cards.values()) {
        const was = before.get(own);
        if (!was) {
          if (before.size) own.animate([{ opacity: 0, scale: 0.96 }, { opacity: 1, scale: 1 }], { duration: 180, easing: "ease-out" });
          continue;
        }
        const now = own.getBoundingClientRect();
        const [x, y] = [was.left - now.left, was.top - now.top];
        if (Math.abs(x) + Math.abs(y) < 2) continue;
        own.animate([{ translate: `${x}px ${y}px` }, { translate: "0 0" }], { duration: 260, easing: "cubic-bezier(.2,.7,.2,1)" });
      }
    }
  }
}
