// What a script does when the desk says that the session has ended, or that the page is from an earlier one.

/** The session has ended; `address` is where to sign in. */
export class SignedOut extends Error {
  constructor(sentence, address) {
    super(sentence);
    this.address = address;
  }
}

/** Throws SignedOut for an answer of 401, as the desk gives to scripts that send `Accept: application/json`. */
export async function validateSignedIn(answer) {
  if (answer.status !== 401) return;
  const told = await answer.json().catch(() => ({})); // a HEAD has no more to say
  throw new SignedOut(told.error, told.sign_in ?? "/sign-in");
}

/** The page is from a session that was replaced, as in another tab; its forms have been renewed and can be sent again. */
export class Replaced extends Error {
  constructor(person) {
    super(`This page is from an earlier session. What it sends now is sent as ${person}.`);
  }
}

/** Throws Replaced for an answer that brings a new token; `told` is its JSON. */
export function validateNotReplaced(told) {
  if (!told?.csrf_token) return;
  for (const field of document.getElementsByName("csrf_token")) field.value = told.csrf_token;
  throw new Replaced(told.person);
}

/** Words and a link: whoever signs in beside this page loses nothing of it. */
export function signInBeside(address) {
  const link = Object.assign(document.createElement("a"), { href: address, target: "_blank", textContent: "Sign in" });
  return ["The session has ended; nothing is lost. ", link, " in another tab, then go on here. "];
}
