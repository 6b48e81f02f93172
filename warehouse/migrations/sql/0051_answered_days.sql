-- follows: 0048
-- Whether a table was answered for a day, and since when it is read: asked for each of a page's days.
create index source_reads_days on ops.source_reads (table_name, usage_date);
