"""The collector: usage over HTTP, from any language, and answers about caps. A process of its own; the API stays read-only.

A 2xx means that PostgreSQL has committed it. Usage comes in as CloudEvents (`events`), spans (`traces`) and providers' callbacks
(`webhooks`, `sendgrid`, `stripe`), goes through the SDK's own redaction, checks and store, and so counts as the SDK's does; caps
(`access`) are the SDK's guard's. What is here is HTTP: who may write, how much at once,
and what became of each event. See docs/collector.md.
"""
