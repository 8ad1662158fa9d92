/** A system that can't be had on this machine: its figures are missing, and the run says so. */
export class Unavailable extends Error {
  constructor(what: string, options?: ErrorOptions) {
    super(what, options);
    this.name = "Unavailable";
  }
}
