// Every request to the gateway. A refusal or a failure becomes an ApiError that carries the words
// for the officer in both languages.

import { text } from "./strings.js";

const TIMEOUT_MS = 10_000;
const ROOT = "/api/v1";

export class ApiError extends Error {
  /** `status` 0 means that no answer came; then nobody knows whether the gateway recorded it. */
  constructor(status, code, words, { detail = "", retry_after_s, tries_left, officer, fields } = {}) {
    super(`${code} (${status})`);
    this.name = "ApiError";
    this.status = status;
    this.code = code;
    this.words = words;
    this.detail = detail;
    /** Seconds until another try is looked at; 0 if that is now. */
    this.waitS = Math.ceil(Number(retry_after_s ?? (status === 429 ? detail : 0))) || 0;
    /** Wrong PINs that are left before a wait; null if that is not known. */
    this.triesLeft = Number.isInteger(tries_left) ? tries_left : null;
    /** Whose PIN was refused. */
    this.officer = officer ?? null;
    /** What is wrong with each field of a form. */
    this.fields = fields ?? {};
  }
}

async function call(method, path, body, more = {}) {
  let response;
  let raw;
  try {
    response = await fetch(ROOT + path, {
      method,
      headers: body === undefined ? more : { "Content-Type": "application/json", ...more },
      body: body === undefined ? undefined : JSON.stringify(body),
      credentials: "same-origin",
      cache: "no-store",
      signal: AbortSignal.timeout(TIMEOUT_MS),
    });
    raw = await response.text();
  } catch {
    throw new ApiError(0, "no_answer", text("err_no_answer"));
  }
  const data = parse(raw);
  if (!response.ok) throw refusal(response.status, data?.error);
  if (data === undefined) throw new ApiError(response.status, "bad_answer", text("err_bad_answer"));
  return data;
}

function parse(raw) {
  if (raw === "") return null;
  try {
    return JSON.parse(raw);
  } catch {
    return undefined;
  }
}

function refusal(status, error) {
  const fallback = text("err_refused");
  const words = { zh: error?.zh || fallback.zh, en: error?.en || fallback.en };
  return new ApiError(status, error?.code ?? `http_${status}`, words, error ?? {});
}

function lanePath(lane, rest) {
  return `/lanes/${encodeURIComponent(lane)}/${rest}`;
}

export const getLanes = () => call("GET", "/lanes");
export const getStatus = () => call("GET", "/status");
export const getCodes = () => call("GET", "/codes");
export const getOfficers = () => call("GET", "/officers");
export const getSession = () => call("GET", "/session");
export const signIn = (officer, pin) => call("POST", "/session", { officer, pin });
export const signOut = () => call("DELETE", "/session");
/** `officer` is who the page shows: the pages of a browser share one session. */
export const postAction = (lane, officer, body) =>
  call("POST", lanePath(lane, "actions"), body, { "Kakou-Officer": officer });
export const postRelease = (officer, body) =>
  call("POST", "/uses/release", body, { "Kakou-Officer": officer });
export const searchName = (lane, name) =>
  call("GET", lanePath(lane, `search?name=${encodeURIComponent(name)}`));

/** Verdicts of a lane since midnight. */
export const getToday = (lane) => call("GET", lanePath(lane, "today"));

/** What is held in a register of a lane. */
export const getRegister = (lane, register) =>
  call("GET", lanePath(lane, `registers/${encodeURIComponent(register)}`));

/** What waits at the duty console, and what whoever is signed in may do there. */
export const getConsole = () => call("GET", "/console");
export const postConsole = (officer, body) => call("POST", "/console", body, { "Kakou-Officer": officer });

/** What the idle public screen of a lane shows now. */
export const getNotices = (lane) => call("GET", lanePath(lane, "notices"));

/** The report of a day, as YYYY-MM-DD; of today without one. */
export const getReport = (day) => call("GET", day ? `/report?day=${encodeURIComponent(day)}` : "/report");

export const getDemo = () => call("GET", "/demo");
export const postDemo = (what, body) => call("POST", `/demo/${what}`, body);

export const screenStream = (lane) => ROOT + lanePath(lane, "screen");
export const deskStream = (lane) => ROOT + lanePath(lane, "desk");
export const statusStream = () => `${ROOT}/status/events`;
export const photoUrl = (sha256) => `${ROOT}/photos/${encodeURIComponent(sha256)}`;

/** The lane named by the page's own address, /lane/ID or /desk/ID. */
export function laneOfPage() {
  return decodeURIComponent(location.pathname.split("/")[2] ?? "");
}
