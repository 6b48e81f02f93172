// A tenant's month, from another origin than the API's: METERING_CORS_ORIGINS there names this one.
import createClient from 'openapi-fetch'
import { StrictMode, useEffect, useState } from 'react'
import { createRoot } from 'react-dom/client'
import type { components, paths } from './usage-api'

type Schemas = components['schemas']
type Month = { summary: Schemas['UsageSummary']; weeks: Schemas['DailySeries'] }

const api = createClient<paths>({ baseUrl: import.meta.env.VITE_METERING_URL })
const number = new Intl.NumberFormat()
const day = new Intl.DateTimeFormat(undefined, { month: 'short', day: 'numeric', timeZone: 'UTC' })
const timeZone = Intl.DateTimeFormat().resolvedOptions().timeZone

// Unpriced is not free: such a cost is unknown, and the exact one is a decimal string.
const dollars = (cost: string | null) => (cost === null ? 'not priced' : `$${Number(cost).toFixed(2)}`)
const words = (name: string) => name.replaceAll('_', ' ')

async function readMonth(token: string, period: string, signal: AbortSignal): Promise<Month> {
  const headers = { authorization: `Bearer ${token}` }
  const summary = await api.GET('/api/billing/usage/summary', { params: { query: { period } }, headers, signal })
  if (!summary.data) throw new Error(summary.error.detail ?? summary.error.title)
  const { start, end } = summary.data.currentPeriod
  const query = { from: start, to: period === 'current' ? undefined : end, granularity: 'week', groupBy: 'feature', timeZone } as const
  const weeks = await api.GET('/api/billing/usage/daily', { params: { query }, headers, signal })
  if (!weeks.data) throw new Error(weeks.error.detail ?? weeks.error.title)
  return { summary: summary.data, weeks: weeks.data }
}

function Channel({ channel }: { channel: Schemas['ChannelUsage'] }) {
  const { used, cap, percentUsed, warningThresholdPct } = channel
  return (
    <tr>
      <th scope="row">{words(channel.channel)}</th>
      <td className="number">{number.format(channel.unitCount)} {words(channel.unit)}</td>
      <td>{cap === null ? 'no cap' : <><meter max={cap} high={(cap * (warningThresholdPct ?? 100)) / 100} optimum={0} value={Math.min(used, cap)} />{percentUsed} % {words(channel.status)}</>}</td>
      <td className="number">{dollars(channel.estimatedCostUsd)}</td>
    </tr>
  )
}

function Weeks({ weeks }: { weeks: Schemas['DailySeries'] }) {
  const used = weeks.rows.filter((row) => row.requestCount > 0 || row.unitCount > 0)
  const features = Map.groupBy(used, (row) => words(`${row.channel}: ${row.group.feature}`))
  const open = new Set(used.filter((row) => !row.isFinal).map((row) => row.date))
  const dates = [...new Set(weeks.rows.map((row) => row.date))]
  return (
    <table>
      <caption>Cost by feature and week. Days are UTC: the first begins at {new Date(weeks.startsAt).toLocaleString()}.</caption>
      <thead><tr><td />{dates.map((date) => <th scope="col" className="number" key={date}>{day.format(new Date(date))}{open.has(date) && ', so far'}</th>)}</tr></thead>
      <tbody>
        {[...features].sort(([a], [b]) => a.localeCompare(b)).map(([feature, rows]) => (
          <tr key={feature}>
            <th scope="row">{feature}</th>
            {dates.map((date) => <td className="number" key={date}>{rows.filter((row) => row.date === date).map((row) => dollars(row.estimatedCostUsd))}</td>)}
          </tr>
        ))}
      </tbody>
    </table>
  )
}

function Page({ token }: { token: string }) {
  const [period, setPeriod] = useState('current')
  const [shown, show] = useState<Month | Error>()
  useEffect(() => {
    const left = new AbortController()
    readMonth(token, period, left.signal).then(show, (error: Error) => left.signal.aborted || show(error))
    return () => left.abort()
  }, [token, period])
  if (!shown || shown instanceof Error) return <p role="status">{shown?.message ?? 'Loading…'}</p>
  const { summary, weeks } = shown
  return (
    <>
      <h1>{summary.tenantName}, {summary.currentPeriod.label}: {dollars(summary.totalsForPeriod.estimatedCostUsd)}</h1>
      <input type="month" aria-label="Month" value={weeks.from.slice(0, 7)} onChange={(event) => setPeriod(event.target.value || 'current')} />
      <section tabIndex={0} aria-label="Channels"><table><tbody>{summary.channels.map((channel) => <Channel key={channel.channel} channel={channel} />)}</tbody></table></section>
      <section tabIndex={0} aria-label="Weeks"><Weeks weeks={weeks} /></section>
    </>
  )
}

// Your server signs its users in and gives them a token for their tenant; here it stands in the address, behind #.
createRoot(document.getElementById('page')!).render(<StrictMode><Page token={location.hash.slice(1)} /></StrictMode>)
