import { type PassThrough, Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { setImmediate as breathe } from "node:timers/promises";
import { exportChunks } from "../../domain/exportYaml.ts";
import type { Key } from "../../domain/model.ts";
import { internalTokenOf } from "../../store/internalToken.ts";
import type { RecordReader, Store } from "../../store/store.ts";

const pageKeys = 1000;

/** Writes the environment as tollgate.yaml, from one consistent view; other work goes on between the pages. Ends or destroys `out`. */
export async function exportFile(store: Store, environment: string, out: PassThrough): Promise<void> {
  await store.read(environment, async (reader) => {
    const head = {
      version: 1 as const,
      environment,
      ...(await internalTokenOf(reader)),
      apis: await reader.all("api"),
      tiers: await reader.all("tier"),
      consumers: await reader.all("consumer"),
    };
    await pipeline(Readable.from(exportChunks(head, keyPages(reader))), out);
  });
}

async function* keyPages(reader: RecordReader): AsyncGenerator<Key[]> {
  for (let after = ""; ; ) {
    const keys = await reader.keysPage(after, pageKeys);
    yield keys;
    const last = keys.at(-1);
    if (last === undefined || keys.length < pageKeys) return;
    after = last.id;
    await breathe();
  }
}
