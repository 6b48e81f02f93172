-- follows: 0040
-- Records that nobody tracked and that are alike are one row of the settled records, with the keys of all of them. The builds of an older
-- version left a row for each, which stays until its day is built anew.
alter table if exists intermediate.int_settled_records add column if not exists record_keys text[];
