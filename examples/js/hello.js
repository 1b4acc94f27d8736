// Greets whoever is named on the command line, then shows that this is a whole JavaScript and nobody else's machine.
const who = scriptArgs.slice(1).join(" ") || "world";
console.log(`hello, ${who}`);

const fibonacci = (n) => (n < 2n ? n : fibonacci(n - 1n) + fibonacci(n - 2n));
console.log(`the 20th Fibonacci number is ${fibonacci(20n)}`);
console.log(`2 to the power of 100 is ${2n ** 100n}`);

try {
  (function deeper() { deeper(); })();
} catch (error) {
  console.log(`endless recursion: ${error.name}, and the program goes on`);
}
