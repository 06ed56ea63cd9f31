/** `<live-captions>`: the text of each segment in order, grey while it may change. */

class LiveCaptions extends HTMLElement {
  #items = new Map(); // name -> its element

  connectedCallback() {
    this.setAttribute("role", "log"); // a screen reader says what is added: final texts
    this.setAttribute("aria-label", "Captions");
    this.setAttribute("dir", "auto");
    this.tabIndex = 0; // it scrolls
  }

  /** All final text so far. */
  get text() {
    return [...this.querySelectorAll(".final")].map((element) => element.textContent.trim()).join(" ");
  }

  clear() {
    this.#items.clear();
    this.replaceChildren();
  }

  /** Show the text of a segment that may still change. */
  partial(name, text) {
    const element = this.#items.get(name) ?? this.#add(name, span("partial"));
    element.textContent = `${text.trim()} `;
    element.setAttribute("aria-hidden", "true"); // it would be read again with every word
    this.#follow();
  }

  /** Show the text of a segment, which stays. */
  final(name, text) {
    if (!text.trim()) {
      this.drop(name); // nothing was said
      return;
    }
    const element = span("final");
    element.textContent = `${text.trim()} `;
    const before = this.#items.get(name);
    // Another element in its place, because screen readers do not tell of one that was hidden.
    if (before) before.replaceWith(element);
    else this.append(element);
    this.#items.set(name, element);
    this.#follow();
  }

  /** Take a text away that was not final. */
  drop(name) {
    this.#items.get(name)?.remove();
    this.#items.delete(name);
  }

  /** Let what is not final stay as it is: nothing more comes. */
  settle() {
    for (const [name, element] of this.#items) {
      if (element.className === "partial") this.final(name, element.textContent);
    }
  }

  #add(name, element) {
    this.#items.set(name, element);
    this.append(element);
    return element;
  }

  /** Scroll to the end, unless somebody reads what was before. */
  #follow() {
    if (this.scrollHeight - this.scrollTop - this.clientHeight < 120) this.scrollTop = this.scrollHeight;
  }
}

function span(className) {
  const element = document.createElement("span");
  element.className = className;
  return element;
}

customElements.define("live-captions", LiveCaptions);
