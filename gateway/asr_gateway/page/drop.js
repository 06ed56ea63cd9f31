/** `<drop-zone>`: a field for a file, which may also be dropped anywhere on the page; it sends the event `files`. */

class DropZone extends HTMLElement {
  connectedCallback() {
    const input = this.querySelector("input[type=file]");
    input.addEventListener("change", () => {
      this.#chosen(input.files);
      input.value = ""; // so that the same file can be chosen again
    });
    // Without these, the browser would leave the page and show the file.
    document.addEventListener("dragover", (event) => {
      event.preventDefault();
      this.classList.toggle("over", hasFiles(event) && !this.isDisabled);
    });
    document.addEventListener("dragleave", (event) => {
      if (!event.relatedTarget) this.classList.remove("over");
    });
    document.addEventListener("drop", (event) => {
      event.preventDefault();
      this.classList.remove("over");
      if (!this.isDisabled) this.#chosen(event.dataTransfer.files);
    });
  }

  /** Whether it takes no file, because its fieldset or its field is disabled. */
  get isDisabled() {
    return this.querySelector("input").matches(":disabled");
  }

  #chosen(files) {
    if (files.length) this.dispatchEvent(new CustomEvent("files", { detail: [...files] }));
  }
}

function hasFiles(event) {
  return event.dataTransfer?.types.includes("Files") ?? false;
}

customElements.define("drop-zone", DropZone);
