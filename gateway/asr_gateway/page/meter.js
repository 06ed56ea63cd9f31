/** `<level-meter>`: how loud it is, and was during the last seconds. */

const BAR = 8; // pixels, with the gap behind it
const MOST_BARS = 240;
const SILENT_DB = -50;

class LevelMeter extends HTMLElement {
  #canvas = document.createElement("canvas");
  #levels = [];

  connectedCallback() {
    this.setAttribute("role", "meter");
    this.setAttribute("aria-label", "Level of the microphone");
    this.setAttribute("aria-valuemin", "0");
    this.setAttribute("aria-valuemax", "100");
    this.replaceChildren(this.#canvas);
    this.clear();
  }

  clear() {
    this.#levels = [];
    this.show(0);
  }

  /** @param {number} peak from 0 to 1 */
  show(peak) {
    const level = peak > 0 ? Math.max(0, 1 - (20 * Math.log10(peak)) / SILENT_DB) : 0;
    this.#levels = [...this.#levels, level].slice(-MOST_BARS);
    this.setAttribute("aria-valuenow", String(Math.round(level * 100)));
    this.#draw();
  }

  #draw() {
    const { clientWidth: width, clientHeight: height } = this;
    if (!width) return; // hidden
    const scale = globalThis.devicePixelRatio || 1;
    this.#canvas.width = Math.round(width * scale);
    this.#canvas.height = Math.round(height * scale);
    const context = this.#canvas.getContext("2d");
    context.scale(scale, scale);
    context.fillStyle = getComputedStyle(this).color;
    // Who wants no motion gets one bar that does not travel.
    const isStill = matchMedia("(prefers-reduced-motion: reduce)").matches;
    if (isStill) {
      context.fillRect(0, height / 4, width * (this.#levels.at(-1) ?? 0), height / 2);
      return;
    }
    this.#levels.forEach((level, place) => {
      const tall = Math.max(2, level * height);
      const left = width - (this.#levels.length - place) * BAR;
      context.beginPath();
      context.roundRect(left, (height - tall) / 2, BAR - 3, tall, 2);
      context.fill();
    });
  }
}

customElements.define("level-meter", LevelMeter);
