{#
  Post-hook of every mart. DDL takes locks that readers would feel, so the policies are made once: their comments hold a digest
  of what they say, and only what is missing or says something else is made (again).
  The tenant predicate stays in the API's queries; this is the second lock on the same door.

  shared: rows that are no tenant's (plans, prices): shown to whoever has said who they are.
#}
{% macro protect_rows(shared=false) %}
    {% if execute and not is_scratch() %}
        {%- set own -%}
            {% if shared %}(select current_setting('metering.tenant_id', true)) <> ''
            {%- else %}tenant_id = (select current_setting('metering.tenant_id', true))
            {%- endif %}
        {%- endset -%}
        {%- set all_rows = "(select current_setting('metering.role', true)) = 'root_admin'" -%}
        {%- set digest = local_md5(own ~ all_rows) -%}
        {%- set is_protected = run_query(
            "select count(*) = 2 and bool_and(relation.relrowsecurity)"
            ~ " from pg_policy as policy inner join pg_class as relation on policy.polrelid = relation.oid"
            ~ " where relation.oid = '" ~ this ~ "'::regclass"
            ~ " and obj_description(policy.oid, 'pg_policy') = '" ~ digest ~ "'"
        ).columns[0].values()[0] -%}
        {% if not is_protected %}
            alter table {{ this }} enable row level security;
            {% for name, condition in [('own_tenant', own), ('owner_reads_all', all_rows)] %}
                drop policy if exists {{ name }} on {{ this }};
                create policy {{ name }} on {{ this }} for select to metering_api using ({{ condition }});
                comment on policy {{ name }} on {{ this }} is '{{ digest }}';
            {% endfor %}
            grant select on {{ this }} to metering_api;
        {% endif %}
    {% endif %}
{% endmacro %}
