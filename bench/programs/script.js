// An interpreter at work: objects, closures, strings, sorting, regular expressions, numbers. Prints one line that follows from all of it.
class Tree {
    constructor(depth) { this.sides = depth ? [new Tree(depth - 1), new Tree(depth - 1)] : []; }
    count() { return this.sides.reduce((sum, side) => sum + side.count(), 1); }
}
let state = 42;
const roll = () => (state = (Math.imul(state, 1664525) + 1013904223) >>> 0) >>> 8;
const trees = Array.from({ length: 6 }, (_, at) => new Tree(at + 8).count());
const words = Array.from({ length: 12000 }, () => (roll() % 46656).toString(36).padStart(3, "-"));
const counts = new Map();
for (const word of words) counts.set(word, (counts.get(word) ?? 0) + 1);
const sorted = [...counts].sort(([a, m], [b, n]) => n - m || (a < b ? -1 : 1)).slice(0, 3).map(([word]) => word);
const text = words.join(" ");
const matches = text.match(/\b[a-m]\w?[n-z]\b/g).length;
const numbers = new Float64Array(40000).map((_, at) => Math.sqrt(at) * Math.sin(at));
let sum = 0;
for (let round = 0; round < 8; round++) for (let at = 0; at < numbers.length; at++) sum += numbers[at] * round;
const again = JSON.parse(JSON.stringify({ words, trees }));
const swapped = text.replace(/(\w)(\w)/g, "$2$1").length + again.words.length;
console.log([trees.join(" "), sorted.join(" "), matches, sum.toFixed(6), swapped].join("|"));
