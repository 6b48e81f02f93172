{#
  Post-hook of every mart. Policies are looked up first: DDL takes locks that readers would feel, so it is not repeated.
  The tenant predicate stays in the API's queries; this is the second lock on the same door.

  shared: rows that are no tenant's (plans, prices): shown to whoever has said who they are.
#}
{% macro protect_rows(shared=false) %}
    {% if execute %}
        {%- set existing = run_query(
            "select count(*) from pg_policies where schemaname = '" ~ this.schema ~ "' and tablename = '" ~ this.identifier ~ "'"
        ).columns[0].values()[0] -%}
        {% if existing == 0 %}
            alter table {{ this }} enable row level security;
            create policy own_tenant on {{ this }} for select to metering_api
                using ({{ "(select current_setting('metering.tenant_id', true)) <> ''" if shared
                    else "tenant_id = (select current_setting('metering.tenant_id', true))" }});
            create policy owner_reads_all on {{ this }} for select to metering_api
                using ((select current_setting('metering.role', true)) = 'root_admin');
        {% endif %}
    {% endif %}
{% endmacro %}
