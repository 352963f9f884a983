// One file to the desk. A lost connection is tried again, with the same key, so that the desk takes the film in once.

import { SignedOut, validateNotReplaced, validateSignedIn } from "../signed-out.js";

const PAUSES_S = [1, 3, 8, 20]; // after a lost connection
const BUSY_S = 5; // where a busy desk does not say how long
const MOST_BUSY = 120; // times that a busy desk is waited for
const STALLED_S = 30; // without a byte sent: the connection is lost, whatever the browser thinks
const SILENT_S = 60; // after the last byte was sent, and what a slow desk needs to read so many bytes
const READ_PER_S = 2 ** 20; // bytes
const POLL_S = 1;

export class Lost extends Error {}

class Busy extends Error {
  constructor(seconds) {
    super("The desk is busy.");
    this.seconds = seconds;
  }
}

/** A random key; crypto.randomUUID would not be there on plain http beyond this machine. */
export function newKey() {
  return Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, "0")).join("");
}

/**
 * Sends a form; the desk's answer {films, refused, links}, whose films are all read.
 * `tell` is called with a share from 0 to 1, or with a sentence on what is being waited for; `silent` when the desk has
 * all and does not answer, with a function that sends it again. The key makes that safe.
 * Throws Lost when the connection stays lost, SignedOut when the session has ended, Replaced when another took its place,
 * Error with the desk's sentence when it refuses.
 */
export async function send(address, fields, key, tell, silent) {
  let lost = 0;
  let busy = 0;
  for (;;) {
    try {
      return await finished(await post(address, fields, key, (share) => tell(share), silent));
    } catch (problem) {
      if (problem instanceof Busy && busy < MOST_BUSY) {
        busy += 1;
        await pause(problem.seconds, (left) => tell(null, `The desk is busy. Trying again in ${left} s.`));
      } else if (problem instanceof Lost && lost < PAUSES_S.length) {
        const count = `${lost + 1} of ${PAUSES_S.length}`;
        await pause(PAUSES_S[lost], (left) => tell(null, `The connection was lost. Trying again in ${left} s (${count}).`));
        lost += 1;
      } else if (problem instanceof Lost) {
        throw new Lost("The connection was lost, and did not come back.");
      } else throw problem;
    }
  }
}

function post(address, fields, key, progress, silent) {
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    const lose = () => reject(new Lost("The connection was lost."));
    const guard = watch(STALLED_S, () => request.abort());
    const patience = watch(SILENT_S + fields.get("film").size / READ_PER_S, () => silent(() => request.abort()));
    request.open("POST", address);
    request.setRequestHeader("Accept", "application/json");
    request.setRequestHeader("Idempotency-Key", key);
    request.responseType = "json";
    request.upload.addEventListener("progress", (event) => {
      guard.start();
      progress(event.loaded / event.total);
    });
    request.upload.addEventListener("load", () => {
      guard.stop(); // reading may take its time
      patience.start();
    });
    request.addEventListener("load", () => answer(request).then(resolve, reject));
    request.addEventListener("error", lose);
    request.addEventListener("abort", lose);
    request.addEventListener("loadend", () => {
      guard.stop();
      patience.stop();
    });
    guard.start();
    request.send(fields);
  });
}

/** Calls `act` so many seconds after the latest start, unless it is stopped before. */
function watch(seconds, act) {
  let timer;
  const stop = () => clearTimeout(timer);
  const start = () => {
    stop();
    timer = setTimeout(act, seconds * 1000);
  };
  return { start, stop };
}

async function answer(request) {
  const { status, response } = request;
  if (status === 429 || status === 503) throw new Busy(secondsOf(request.getResponseHeader("Retry-After")));
  if (status === 502 || status === 504) throw new Lost("The connection was lost."); // by a proxy, behind which is the desk
  if (status === 401 && response?.sign_in) throw new SignedOut(response.error, response.sign_in);
  validateNotReplaced(response);
  if (response?.films) return response;
  throw new Error(response?.error ?? `The desk answered with HTTP ${status}; try again.`);
}

/** Retry-After holds seconds or a date (RFC 9110, 10.2.3). */
function secondsOf(header) {
  const seconds = Number(header ?? NaN);
  const until = Number.isFinite(seconds) ? seconds : (Date.parse(header) - Date.now()) / 1000;
  return Number.isFinite(until) ? Math.max(1, Math.ceil(until)) : BUSY_S;
}

/** Counts down aloud; ends early when the machine comes back online. */
async function pause(seconds, tell) {
  const online = new Promise((resolve) => addEventListener("online", () => resolve("online"), { once: true }));
  for (let left = seconds; left > 0; left--) {
    tell(left);
    if ((await Promise.race([sleep(1), online])) === "online") return;
  }
}

/** A film that was sent twice may still be being read for the first time. */
async function finished(outcome) {
  const films = await Promise.all(outcome.films.map(readFilm));
  return { ...outcome, films };
}

async function readFilm(film) {
  let latest = film;
  while (["waiting", "reading"].includes(latest.state) && !latest.error) {
    await sleep(POLL_S);
    const reply = await fetch(`${film.links.page}/state`, { headers: { Accept: "application/json" } }).catch(() => null);
    if (reply) await validateSignedIn(reply);
    if (reply?.ok) latest = await reply.json();
    else if (reply?.status === 404) throw new Error("The film is gone; it may have been deleted.");
  }
  return latest;
}

function sleep(seconds) {
  return new Promise((resolve) => setTimeout(resolve, seconds * 1000));
}
