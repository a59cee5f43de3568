// The article's service: fetch, eventsource-parser, Express.

import { createParser } from "eventsource-parser"
import express from "express"

const app = express()

app.get("/chatCompletion", async (request, response) => {
  const upstream = await fetch(`${process.env.OPENAI_BASE_URL}/chat/completions`, {
    method: "POST",
    headers: {
      "content-type": "application/json",
      authorization: `Bearer ${process.env.OPENAI_API_KEY}`,
    },
    body: JSON.stringify({
      model: request.query.model,
      messages: [{ role: "user", content: request.query.message }],
      stream: true,
    }),
  })
  response.type("text/plain")
  const parser = createParser({
    onEvent(event) {
      if (event.data === "[DONE]") return
      const text = JSON.parse(event.data).choices[0]?.delta?.content
      if (text) response.write(text)
    },
  })
  const decoder = new TextDecoder()
  for await (const chunk of upstream.body) parser.feed(decoder.decode(chunk, { stream: true }))
  response.end()
})

const server = app.listen(Number(process.env.PORT ?? 0), "127.0.0.1", () => {
  const url = `http://127.0.0.1:${server.address().port}`
  console.log(JSON.stringify({ url, pid: process.pid }))
})
