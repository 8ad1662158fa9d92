/**
 * Another process that holds a database file's write lock. Arguments: the file. Prints `held` once it has the lock, and lets go of it
 * when its standard input ends.
 */
import Database from "libsql";

const handle = new Database(process.argv[2]!);
handle.exec("PRAGMA busy_timeout = 20000");
handle.exec("begin immediate");
process.stdout.write("held\n");
process.stdin.resume();
process.stdin.on("end", () => {
  handle.exec("rollback");
  handle.close();
});
