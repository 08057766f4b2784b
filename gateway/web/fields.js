// What is wrong with an answer, as far as the page can say it at once. The gateway reads each answer again.
//
// Check digits: GB 11643 for a person's number, ISO 6346 for a container.

import { tidyPlate } from "./plate.js";

const PERSON_WEIGHTS = [7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2];
const PERSON_CHECK = "10X98765432";

/** Upper case, full width folded, without blanks and dashes. */
export function tidyNumber(value) {
  return value.normalize("NFKC").replace(/[\s\u2010-\u2015-]/g, "").toUpperCase();
}

export function isPersonNumber(value) {
  const number = tidyNumber(value);
  if (!/^\d{17}[\dX]$/.test(number)) return false;
  const sum = PERSON_WEIGHTS.reduce((all, weight, i) => all + weight * Number(number[i]), 0);
  return PERSON_CHECK[sum % 11] === number[17];
}

export function isContainer(value) {
  const number = tidyNumber(value);
  if (!/^[A-Z]{4}\d{7}$/.test(number)) return false;
  // Letters count from 10 on, leaving out the multiples of 11.
  const worth = (c) => {
    if (/\d/.test(c)) return Number(c);
    const plain = c.charCodeAt(0) - 55;
    return plain + Math.floor((plain - 1) / 10);
  };
  const sum = [...number.slice(0, 10)].reduce((all, c, i) => all + worth(c) * 2 ** i, 0);
  return (sum % 11) % 10 === Number(number[10]);
}

export function isDay(value) {
  const found = /^(\d{4})-(\d{2})-(\d{2})$/.exec(value.trim());
  if (!found) return false;
  const [year, month, day] = found.slice(1).map(Number);
  const at = new Date(Date.UTC(year, month - 1, day));
  return at.getUTCFullYear() === year && at.getUTCMonth() === month - 1 && at.getUTCDate() === day;
}

function isNumber(value, { min, max, decimals = 0 }) {
  const text = value.normalize("NFKC").trim();
  const form = decimals > 0 ? new RegExp(`^-?\\d+(\\.\\d{1,${decimals}})?$`) : /^-?\d+$/;
  return form.test(text) && Number(text) >= min && Number(text) <= max;
}

/** How long a complete answer is, where that is known: before it is reached, nothing is wrong yet. */
const WHOLE = { id: 18, phone: 11, container: 11, date: 10 };

const CHECKS = {
  id: isPersonNumber,
  phone: (value) => /^\d{11}$/.test(tidyNumber(value)),
  container: isContainer,
  date: isDay,
  number: isNumber,
};

/**
 * The string that says what is wrong with a text that was typed; null if nothing is. While it is typed, only what is
 * complete can be wrong.
 */
export function fault(field, value, whileTyping) {
  const check = CHECKS[field.input];
  if (!check || value.trim() === "" || check(value, field)) return null;
  const whole = WHOLE[field.input];
  if (whileTyping && (whole === undefined || tidyNumber(value).length < tidyNumber("0".repeat(whole)).length)) return null;
  return `field_bad_${field.input}`;
}

/** A typed answer as it is sent: a number is a number. */
export function answerOf(field, value) {
  if (Array.isArray(value)) return value;
  const text = value.trim();
  switch (field.input) {
    case "number": return isNumber(text, field) ? Number(text.normalize("NFKC")) : text;
    case "plate": return tidyPlate(text);
    case "id": case "phone": case "container": return tidyNumber(text);
    default: return text;
  }
}
