-- For the API: what the cap has blocked. A tenant its own, the owner all; what was allowed is nobody's list.
create view ops.blocked_actions with (security_barrier) as
select
    access_decisions.id,
    access_decisions.tenant_id,
    access_decisions.channel,
    access_decisions.units,
    access_decisions.feature,
    access_decisions.reason,
    access_decisions.decided_at
from ops.access_decisions
where
    not access_decisions.allowed
    and (
        access_decisions.tenant_id = (select current_setting('metering.tenant_id', true))
        or (select current_setting('metering.role', true)) = 'root_admin'
    );
