// Every request to the central server. A refusal or a failure becomes a FleetError that carries the
// words in both languages.

import { text } from "./fleet-strings.js";

const TIMEOUT_MS = 8_000;
const ROOT = "/api/v1";

export class FleetError extends Error {
  /** `status` 0 means that no answer came. */
  constructor(status, code, words) {
    super(`${code} (${status})`);
    this.name = "FleetError";
    this.status = status;
    this.code = code;
    this.words = words;
  }
}

async function call(method, path, body) {
  let response;
  let raw;
  try {
    response = await fetch(ROOT + path, {
      method,
      headers: body === undefined ? {} : { "Content-Type": "application/json" },
      body: body === undefined ? undefined : JSON.stringify(body),
      credentials: "same-origin",
      cache: "no-store",
      signal: AbortSignal.timeout(TIMEOUT_MS),
    });
    raw = await response.text();
  } catch {
    throw new FleetError(0, "no_answer", text("err_no_answer"));
  }
  const data = parse(raw);
  if (!response.ok) throw refusal(response.status, data);
  if (data === null || typeof data !== "object") throw badAnswer(response.status);
  return data;
}

function parse(raw) {
  try {
    return JSON.parse(raw);
  } catch {
    return null;
  }
}

function refusal(status, error) {
  const fallback = text("err_refused");
  const words = { zh: error?.zh || `${fallback.zh}（${status}）`, en: error?.en || `${fallback.en} (${status})` };
  return new FleetError(status, error?.code ?? `http_${status}`, words);
}

function badAnswer(status) {
  return new FleetError(status, "bad_answer", text("err_bad_answer"));
}

/** The words of anything that was thrown. */
export function wordsOf(error) {
  return error instanceof FleetError ? error.words : text("err_bad_answer");
}

export async function getCodes() {
  return call("GET", "/codes");
}

export async function getFleet() {
  const fleet = await call("GET", "/fleet");
  if (!Array.isArray(fleet.gateways)) throw badAnswer(200);
  return fleet;
}

/** @param {string} key site/gateway */
export function getGateway(key) {
  const cut = key.indexOf("/");
  return call("GET", `/fleet/${encodeURIComponent(key.slice(0, cut))}/${encodeURIComponent(key.slice(cut + 1))}`);
}

export const postTrace = (question) => call("POST", "/trace", question);
export const getTrace = (id) => call("GET", `/trace/${encodeURIComponent(id)}`);
export const photoUrl = (sha256) => `${ROOT}/photo/${encodeURIComponent(sha256)}`;
