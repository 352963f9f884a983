// How a person likes to look at films, kept from page to page; never what was looked at.

const KEPT = "cxr.viewer"; // in localStorage

/** What was kept, by name, in whatever state; empty where nothing is kept or nothing can be. */
export function recall() {
  try {
    return { ...JSON.parse(localStorage.getItem(KEPT)) };
  } catch {
    return {}; // no storage here, or something else in it
  }
}

export function keep(liked) {
  try {
    localStorage.setItem(KEPT, JSON.stringify(liked));
  } catch {
    // Without storage the next page begins with the defaults.
  }
}
