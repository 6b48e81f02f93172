-- follows: 0010
-- What an adjustment adds to the charge of its cell: the provider's figure where it has said one, else the estimate, as the FOCUS export
-- and the margin count. Of adjustments booked before this column, the next build over their days books what this guess leaves.
alter table ops.cost_adjustments add column charged_cost_usd numeric(38, 18);
update ops.cost_adjustments set charged_cost_usd = case when billed_cost_usd <> 0 then billed_cost_usd else cost_usd end;
alter table ops.cost_adjustments alter column charged_cost_usd set not null;
