// What scripts say, in the language of the page. A page in English carries no texts along: they are written in English.

const texts = JSON.parse(document.getElementById("texts")?.textContent ?? "{}");
const language = document.documentElement.lang;
const rules = new Intl.PluralRules(language);
const KINDS = ["zero", "one", "two", "few", "many", "other"]; // in the order of a catalogue's forms
const kinds = KINDS.filter((kind) => rules.resolvedOptions().pluralCategories.includes(kind));

/** How the reader writes times in the language of the page: as the browser is set up, where that has the same language. */
export const locale = navigator.languages.find((one) => one.split("-")[0] === language.split("-")[0]) ?? language;

const fill = (text, values) => text.replace(/\{(\w+)\}/g, (whole, name) => values[name] ?? whole);

/** Gives a text in the language of the page. {name} in it stands for a value. */
export function text(english, values = {}) {
  return fill(texts[english] ?? english, values);
}

/** Gives what the API says in the language of the page. Any number may stand in it: {1} is the first one. */
export function refusal(sentence) {
  const numbers = [""];
  const known = sentence.replace(/[0-9](?:[0-9,]*[0-9])?/g, (number) => `{${numbers.push(number) - 1}}`);
  return Object.hasOwn(texts, known) ? fill(texts[known], numbers) : sentence;
}

/** Gives the form of a text that fits a number, which {count} in it stands for. */
export function counted(one, many, count, values = {}) {
  const forms = texts[one];
  const form = Array.isArray(forms)
    ? forms[Math.min(kinds.indexOf(rules.select(count)), forms.length - 1)]
    : count === 1 ? one : many;
  return fill(form, { count, ...values });
}
