// SPDX-License-Identifier: Apache-2.0
// Ages, sizes and times as rkt's tables print them (rkt-cli §5.4, §5.14).

const SECOND = 1;
const MINUTE = 60 * SECOND;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;
const WEEK = 7 * DAY;
const MONTH = 30 * DAY;
const YEAR = 12 * MONTH;
const LONG = 37 * YEAR;

/** [upper bound in seconds (exclusive), words, unit]; `%` in the words is the age in units. */
const STEPS: readonly (readonly [number, string, number])[] = [
  [2 * SECOND, "1 second", 1],
  [MINUTE, "% seconds", SECOND],
  [2 * MINUTE, "1 minute", 1],
  [HOUR, "% minutes", MINUTE],
  [2 * HOUR, "1 hour", 1],
  [DAY, "% hours", HOUR],
  [2 * DAY, "1 day", 1],
  [WEEK, "% days", DAY],
  [2 * WEEK, "1 week", 1],
  [MONTH, "% weeks", WEEK],
  [2 * MONTH, "1 month", 1],
  [YEAR, "% months", MONTH],
  [18 * MONTH, "1 year", 1],
  [2 * YEAR, "2 years", 1],
  [LONG, "% years", YEAR],
  [Number.POSITIVE_INFINITY, "a long while", 1],
];

/** "now", "5 minutes ago", "2 years ago"; a time to come is "… from now". */
export function humanizeAge(then: Date, now: Date): string {
  const difference = (now.getTime() - then.getTime()) / 1000;
  const age = Math.floor(Math.abs(difference));
  if (age < 1) return "now";
  const step = STEPS.find(([limit]) => age < limit);
  if (step === undefined) return "a long while ago";
  const [, words, unit] = step;
  return `${words.replace("%", String(Math.floor(age / unit)))} ${difference < 0 ? "from now" : "ago"}`;
}

const SIZES = ["B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"] as const;

/** IEC size: "9B", "1.5KiB", "12MiB". */
export function humanizeBytes(n: number): string {
  if (n < 10) return `${Math.floor(n)}B`;
  let value = n;
  let index = 0;
  while (value >= 1024 && index < SIZES.length - 1) {
    value /= 1024;
    index++;
  }
  return `${value.toFixed(value < 10 ? 1 : 0)}${SIZES[index]}`;
}

/** Letters for a zone where some English locale has them ("CET", "EST"); Go prints the offset otherwise. */
function zoneName(date: Date, offset: number): string {
  if (offset === 0) {
    // Only Europe/London and its like are called otherwise in winter; UTC is by far the common case.
    const zone = Intl.DateTimeFormat().resolvedOptions().timeZone;
    if (zone === undefined || /^(Etc\/|UTC|GMT|Universal|Zulu)/.test(zone)) return "UTC";
  }
  for (const locale of ["en-US", "en-GB", "en-AU", "en-IN", "en-ZA"]) {
    const name = new Intl.DateTimeFormat(locale, { timeZoneName: "short" })
      .formatToParts(date)
      .find((part) => part.type === "timeZoneName")?.value;
    if (name !== undefined && !/^(GMT|UTC)[+-]/.test(name)) return name;
  }
  return offsetText(offset).replace(/00$/, "");
}

function offsetText(minutes: number): string {
  const absolute = Math.abs(minutes);
  return `${minutes < 0 ? "-" : "+"}${pad(Math.floor(absolute / 60))}${pad(absolute % 60)}`;
}

function pad(n: number, width = 2): string {
  return String(n).padStart(width, "0");
}

/** Go's layout `2006-01-02 15:04:05.999 -0700 MST`, local time, no trailing zeros in the fraction. */
export function formatTime(date: Date): string {
  const offset = 0 - date.getTimezoneOffset();
  const day = `${pad(date.getFullYear(), 4)}-${pad(date.getMonth() + 1)}-${pad(date.getDate())}`;
  const time = `${pad(date.getHours())}:${pad(date.getMinutes())}:${pad(date.getSeconds())}`;
  const fraction = pad(date.getMilliseconds(), 3).replace(/0+$/, "");
  const dot = fraction === "" ? "" : `.${fraction}`;
  return `${day} ${time}${dot} ${offsetText(offset)} ${zoneName(date, offset)}`;
}
