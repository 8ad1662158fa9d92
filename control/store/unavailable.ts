/** PostgreSQL's classes and codes of errors that pass by themselves: connection lost (08), resources (53), shutdown and start (57P0x). */
const passingSqlState = /^(08...|53...|57P0[1-5]|55P03|40001|40P01)$/;
const passingCode = new Set(["ECONNRESET", "EPIPE", "ETIMEDOUT", "SQLITE_BUSY"]);
/** Whatever hinders a connection, from a refusal to a name that isn't found. */
const connectingCalls = new Set(["connect", "getaddrinfo"]);
/** pg gives these without a code. */
const passingMessage = /^(Connection terminated|Client has encountered a connection error|timeout exceeded when trying to connect)/;

/** Does the error say that the database can't be reached for now, so that the same call may succeed later? */
export function isUnavailable(error: unknown): boolean {
  if (!(error instanceof Error)) return false;
  if (error instanceof AggregateError) return error.errors.some(isUnavailable);
  const { code, syscall } = error as NodeJS.ErrnoException;
  if (syscall !== undefined && connectingCalls.has(syscall)) return true;
  return (code !== undefined && (passingSqlState.test(code) || passingCode.has(code))) || passingMessage.test(error.message);
}
