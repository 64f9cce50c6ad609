// A handful of items, and how near each is to each.

import { element } from "./controls.js";
import { blank, nameOf, picture } from "./results.js";

export class Tray {
  constructor(place, most, changed) {
    this.place = place;
    this.most = most;
    this.changed = changed;
    this.items = [];
  }

  // Return whether it was added: not twice, and not more than the server compares.
  add(item) {
    if (this.items.length >= this.most) return `${this.most} items are compared at most`;
    if (this.items.some((own) => own.key === item.key)) return "it is there already";
    this.items.push(item);
    this.changed();
    return "";
  }

  remove(key) {
    this.items = this.items.filter((own) => own.key !== key);
    this.changed();
  }

  clear() {
    this.items = [];
    this.changed();
  }

  #icon(item) {
    if (item.picture) return picture(item.picture, "", () => blank(item.modality));
    return blank({ text: "“ ”", audio: "♪" }[item.modality] ?? item.modality);
  }

  show(cosines) {
    if (!this.items.length) { this.place.replaceChildren(); return; }
    const apart = cosines.flatMap((row, i) => row.filter((_, j) => i !== j));
    const low = Math.min(0, ...apart);
    const high = Math.max(low + 0.01, ...(apart.length ? apart : [1]));
    const head = element("tr", {}, element("td", { className: "corner" }));
    for (const item of this.items) {
      head.append(element("th", { scope: "col", title: item.label }, this.#icon(item), nameOf(item, item.label)));
    }
    const rows = this.items.map((item, i) => {
      const remove = element("button", { type: "button", className: "remove", textContent: "×", "aria-label": `Remove ${item.label}` });
      remove.addEventListener("click", () => this.remove(item.key));
      const title = element("th", { scope: "row", title: item.label }, this.#icon(item),
        nameOf(item, item.label), remove);
      const cells = this.items.map((_, j) => {
        const cell = element("td", { textContent: cosines[i][j].toFixed(2) });
        const share = Math.max(0, Math.min(1, (cosines[i][j] - low) / (high - low)));
        cell.style.setProperty("--share", share.toFixed(3));
        if (i === j) cell.className = "same";
        return cell;
      });
      return element("tr", {}, title, ...cells);
    });
    const caption = element("caption", { textContent: "Cosines at these factors" });
    const table = element("table", { className: "matrix" }, caption, element("thead", {}, head), element("tbody", {}, ...rows));
    const scale = element("div", { className: "scale", "aria-hidden": "true" },
      element("span", { textContent: low.toFixed(2) }), element("span", { className: "ramp" }), element("span", { textContent: high.toFixed(2) }));
    this.place.replaceChildren(table, ...(apart.length ? [scale] : []));
  }
}
