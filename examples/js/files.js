// Reads and writes files of its private file system: `gatebus run --dir DIR --out DIR examples/js/files.js`.
import * as std from "qjs:std";
import * as os from "qjs:os";

const [names] = os.readdir("/");
console.log(`files here: ${names.filter((name) => !name.startsWith(".")).sort().join(" ")}`);

const file = std.open("/note.txt", "w");
file.puts("written by JavaScript\n");
file.close();
console.log(`read back: ${std.loadFile("/note.txt").trim()}`);

const [, missing] = os.stat("/etc/passwd");
console.log(missing === 0 ? "there is a password file!" : "no password file: the host's files do not exist here");
