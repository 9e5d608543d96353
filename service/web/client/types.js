/** What the service answers, as types. Nothing of this file runs. */

export {}

/**
 * @typedef {'pending' | 'queued' | 'running' | 'retrying' | 'paused' | 'completed' | 'failed' | 'cancelled'} State
 *
 * @typedef {object} Trouble what stopped a job, or a try of it
 * @property {string} code
 * @property {string} message
 * @property {string} [suggestion]
 *
 * @typedef {object} Progress
 * @property {number} done
 * @property {number | null} total
 * @property {string} unit what `done` and `total` count
 * @property {number | null} percent
 * @property {string} phase
 * @property {string | null} message
 * @property {number | null} rate rows per second
 * @property {{low: number, high: number} | null} eta_s seconds that are left, between these two
 *
 * @typedef {{read: number, inserted: number, updated: number, skipped: number, rejected: number}} Counts
 *
 * @typedef {object} Job
 * @property {string} id
 * @property {string} processor
 * @property {string} queue
 * @property {State} state
 * @property {'complete' | 'partial' | 'none' | null} outcome
 * @property {number} priority 1 to 10, 10 is most urgent
 * @property {number} attempt
 * @property {string | null} upload_id
 * @property {string | null} dataset
 * @property {Record<string, unknown>} input
 * @property {unknown} output
 * @property {Record<string, unknown>} options
 * @property {number} waits_for jobs that have to end first
 * @property {string | null} flow_id
 * @property {string | null} step
 * @property {string | null} corrects the job whose rejects it brings in
 * @property {string | null} duplicate_of
 * @property {Record<string, unknown>} metadata
 * @property {Progress} progress
 * @property {Counts} counts
 * @property {number} notes
 * @property {string | null} undone_by
 * @property {string | null} undone_at
 * @property {Trouble | null} problem
 * @property {'pause' | 'cancel' | 'restart' | null} control what is asked of it and not done yet
 * @property {string | null} cancel_requested_at
 * @property {string} created_at
 * @property {string | null} started_at
 * @property {string | null} finished_at
 * @property {number} last_event_id
 * @property {Record<string, string>} links
 *
 * @typedef {{seq: number, type: string, at: string, job_id?: string, flow_id?: string} & Record<string, any>} JobEvent
 * something that happened; `seq` counts 1, 2, 3 … within a job, the rest is in the README's table of events
 *
 * @typedef {object} Upload
 * @property {string} id
 * @property {string | null} name
 * @property {string} state
 * @property {number | null} size_bytes
 * @property {number} received_bytes
 * @property {string | null} sha256
 * @property {string | null} media_type
 * @property {string | null} kind
 * @property {string} protocol
 * @property {string | null} duplicate_of
 * @property {{id: string, processor: string, state: State, links: Record<string, string>}[]} jobs
 * @property {Trouble | null} problem
 * @property {string} created_at
 * @property {string | null} expires_at
 * @property {string | null} expired_at
 * @property {string | null} expired_reason
 * @property {Record<string, string>} links
 *
 * @typedef {object} Dataset
 * @property {string} name
 * @property {{name: string, type: string}[]} columns none until its first rows came
 * @property {string[] | null} keys
 * @property {string} created_at
 * @property {Record<string, string>} links
 *
 * @typedef {{column: string | null, code: string, message: string, suggestion: string}} Fault
 * @typedef {object} Reject
 * @property {number} row
 * @property {number} line
 * @property {string | null} column
 * @property {string} code
 * @property {string} message
 * @property {string} suggestion
 * @property {string} raw the row as it stood in the file
 * @property {string[] | null} cells
 * @property {Fault[]} faults
 * @property {boolean} cut whether `raw` is not all of it
 * @property {string | null} closed_by
 * @property {string | null} closed_at
 *
 * @typedef {object} Attempt
 * @property {number} number
 * @property {number} epoch
 * @property {string} worker
 * @property {string} started_at
 * @property {string | null} ended_at
 * @property {number | null} duration_s
 * @property {string | null} result
 *
 * @typedef {object} Explanation
 * @property {State} state
 * @property {string} reason a stable word
 * @property {string} message
 * @property {string | null} suggestion
 * @property {number} [position] its place in its queue
 * @property {number} [ahead]
 * @property {string} [run_at]
 * @property {Trouble} [problem]
 * @property {{id: string, state: State, step: string | null}[]} [jobs] those that it waits for
 *
 * @typedef {object} Processor
 * @property {string} name
 * @property {string} title
 * @property {string[]} suffixes
 * @property {string} accepts
 * @property {number | null} max_bytes
 * @property {string} queue
 * @property {string} unit
 * @property {Record<string, any>} options its options as JSON Schema
 *
 * @typedef {object} Preview
 * @property {string} job_id
 * @property {Record<string, any>} [dialect]
 * @property {string} [encoding]
 * @property {string[]} [header]
 * @property {Record<string, any>[]} [columns] with type, confidence, alternatives and values
 * @property {Record<string, any>[]} [rows]
 * @property {Reject[]} [rejects]
 * @property {Counts} [counts]
 * @property {Trouble | null} [problem]
 *
 * @typedef {'pause' | 'resume' | 'cancel' | 'retry' | 'delete' | 'priority'} BatchAction
 * @typedef {object} Batch
 * @property {BatchAction} action
 * @property {string[]} [ids]
 * @property {{state?: State, processor?: string}} [filter] instead of ids
 * @property {'keep' | 'remove'} [rows] of cancel
 * @property {'checkpoint' | 'start'} [from] of retry
 * @property {number} [priority]
 * @typedef {{id: string, ok: boolean, state?: State, code?: string, detail?: string}} BatchResult
 *
 * @typedef {object} Follower
 * @property {(job: Job) => void} [snapshot] the job as it is when the stream begins, and after each break
 * @property {(event: JobEvent) => void} [event] once for each event, in order
 * @property {(connected: boolean) => void} [line] the connection broke, or is there again
 * @property {number} [after] the number of the last event that is known already
 * @property {AbortSignal} [signal]
 *
 * @typedef {object} AccountFollower
 * @property {(jobs: Job[]) => void} [snapshot] the jobs that have not ended; what was known before may be forgotten
 * @property {(event: JobEvent) => void} [event] once for each event of any job or flow, in order
 * @property {(connected: boolean) => void} [line]
 * @property {string[]} [types] only events of these types
 * @property {AbortSignal} [signal]
 */
