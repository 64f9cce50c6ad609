// Sliders for the factors of each expert, and a checkbox whether it takes part.

export function element(tag, properties = {}, ...children) {
  const own = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name === "dataset") Object.assign(own.dataset, value);
    else if (name.startsWith("aria-") || name === "role" || name === "for") own.setAttribute(name, value);
    else own[name] = value;
  }
  own.append(...children.filter((child) => child !== null && child !== undefined));
  return own;
}

const KINDS = {
  sigma: { sign: "σ", words: "combined" },
  lambda: { sign: "λ", words: "displaces" },
};

export class Controls {
  constructor(place, controls, changed) {
    this.controls = controls;
    this.rows = [];
    this.boxes = new Map();
    this.changed = changed;
    place.replaceChildren(...controls.map((control, i) => this.#fieldset(control, i)));
    if (!controls.length) {
      place.append(element("p", { className: "note", textContent: "A space by itself: it has no experts to weigh." }));
    }
  }

  #fieldset(control, i) {
    const kind = KINDS[control.option];
    let box = this.boxes.get(control.expert);
    const first = !box;
    if (first) {
      box = element("input", { type: "checkbox", checked: true, disabled: !control.free, id: `expert-${i}` });
      box.addEventListener("change", () => this.#told());
      this.boxes.set(control.expert, box);
    } else if (!control.free) box.disabled = true;
    const fieldset = element("fieldset", { className: "control", dataset: { expert: control.expert } });
    const name = element("span", { className: "expert", textContent: control.expert });
    const title = first ? element("label", {}, box, name) : element("span", {}, name);
    const about = element("span", { className: "kind", textContent: `${kind.sign} ${kind.words}` });
    fieldset.append(element("legend", {}, title, about));
    for (const [modality, trained] of Object.entries(control.factors)) {
      fieldset.append(this.#slider(control, kind, modality, trained, `f-${i}-${modality}`));
    }
    if (!control.free) {
      fieldset.append(element("p", { className: "note", textContent: "Fixed as trained: a projector follows it." }));
    } else if (!Object.keys(control.factors).length) {
      fieldset.append(element("p", { className: "note", textContent: "It shares no modality: nothing to weigh." }));
    }
    return fieldset;
  }

  #slider(control, kind, modality, trained, id) {
    const input = element("input", {
      type: "range", min: "0", max: "1", step: "0.01", id, disabled: !control.free,
    });
    input.setAttribute("value", trained);
    input.value = trained;
    const output = element("output", { for: id, textContent: trained.toFixed(2) });
    const mark = element("span", { className: "mark", "aria-hidden": "true" });
    mark.title = `trained: ${trained}`;
    mark.style.setProperty("--at", trained);
    const row = { control, modality, trained, input, output };
    input.setAttribute("aria-label", `${kind.sign} of ${control.expert}, ${modality}`);
    input.addEventListener("input", () => { this.#show(row); this.#told(); });
    this.rows.push(row);
    const label = element("label", { for: id, textContent: modality });
    return element("div", { className: "slider" }, label, element("span", { className: "rail" }, mark, input), output);
  }

  #show(row) {
    const value = Number(row.input.value);
    row.output.textContent = value.toFixed(2);
    row.output.classList.toggle("moved", Math.abs(value - row.trained) > 0.001);
    row.input.style.setProperty("--value", value);
  }

  #told() {
    for (const [expert, box] of this.boxes) {
      for (const own of document.querySelectorAll(".control")) {
        if (own.dataset.expert === expert) own.classList.toggle("off", !box.checked);
      }
    }
    this.changed();
  }

  preset(name) {
    for (const row of this.rows) {
      if (row.input.disabled) continue;
      row.input.value = { trained: row.trained, base: 0, experts: 1 }[name];
      this.#show(row);
    }
    if (name === "trained") for (const box of this.boxes.values()) box.checked = true;
    this.#told();
  }

  show() {
    this.rows.forEach((row) => this.#show(row));
  }

  // What is sent: only factors that differ from the trained ones, whole experts at a time.
  settings() {
    const body = {};
    for (const control of this.controls) {
      const own = this.rows.filter((row) => row.control === control && !row.input.disabled);
      if (!own.some((row) => Math.abs(Number(row.input.value) - row.trained) > 0.001)) continue;
      const exact = (row) =>
        Math.abs(Number(row.input.value) - row.trained) > 0.001 ? Number(row.input.value) : row.trained;
      body[control.option] ??= {};
      body[control.option][control.expert] = Object.fromEntries(own.map((row) => [row.modality, exact(row)]));
    }
    const kept = [...this.boxes].filter(([, box]) => box.checked).map(([expert]) => expert);
    if (kept.length < this.boxes.size) body.experts = kept;
    return body;
  }

  isTrained() {
    return !Object.keys(this.settings()).length;
  }
}
