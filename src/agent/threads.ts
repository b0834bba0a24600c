import { stat } from 'node:fs/promises'

/** Six senders of deletions and one who listens, and others who wait for RCU besides. */
const THREADS = 12

/**
 * Starts the threads of libuv's pool, all of them, while this thread is at home: one that is started while it is
 * inside a container's namespace would stay there for good.
 */
export async function startThreads(): Promise<void> {
  process.env.UV_THREADPOOL_SIZE = String(THREADS)
  // libuv starts the whole pool with its first job.
  await stat('/')
}
