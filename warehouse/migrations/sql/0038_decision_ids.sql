-- follows: 0037
-- Whoever asks names the decision, so that one whose answer was lost and that is asked for again is kept once. Null in older rows.
alter table ops.access_decisions add column decision_id text;
create unique index access_decisions_decision_id on ops.access_decisions (decision_id);
