// What eventsource-parser costs per event: prints microseconds of processor time, by the name of the reads.

import { createParser } from "eventsource-parser"

const { runs, jobs } = JSON.parse(process.argv[2])
const plainEventBytes = jobs[0].event.length

function pieces(job) {
  const event =
    job.event_bytes === plainEventBytes ? job.event : `data: ${"x".repeat(job.event_bytes)}\n\n`
  const stream = Buffer.from(event.repeat(job.events))
  const found = []
  for (let at = 0; at < stream.length; at += job.read_bytes) {
    found.push(stream.subarray(at, at + job.read_bytes))
  }
  return found
}

const costs = {}
for (const job of jobs) {
  const stream = pieces(job)
  const seen = []
  for (let run = 0; run < runs; run++) {
    let events = 0
    const decoder = new TextDecoder()
    const parser = createParser({ onEvent: () => events++ })
    const before = process.cpuUsage()
    for (const piece of stream) parser.feed(decoder.decode(piece, { stream: true }))
    const { user, system } = process.cpuUsage(before)
    if (events !== job.events) throw new Error(`${events} events in ${job.name}`)
    seen.push((user + system) / job.events)
  }
  seen.sort((a, b) => a - b)
  costs[job.name] = seen[Math.floor(runs / 2)]
}
console.log(JSON.stringify(costs))
