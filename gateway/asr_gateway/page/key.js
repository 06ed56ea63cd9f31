/** The API key of this tab. */

const NAME = "asr-gateway-key";
let remembered = ""; // where the browser gives pages no storage

/** @returns {string} the key; "" if there is none */
export function get() {
  try {
    return sessionStorage.getItem(NAME) ?? "";
  } catch {
    return remembered;
  }
}

/** @param {string} key kept until the tab is closed */
export function set(key) {
  remembered = key;
  try {
    sessionStorage.setItem(NAME, key);
  } catch {
    // `remembered` has it.
  }
}
