{#
  Pre-hook of a mart that reads views which hold the days of the build that made them: refuses to run without them, because
  a view of other days would empty this window silently. Choose `+usage_daily`, or build everything.
#}
{% macro build_together_with(models) %}
    {% if execute %}
        {% for name in models if 'model.' ~ project_name ~ '.' ~ name not in selected_resources %}
            {{ exceptions.raise_compiler_error(
                this.identifier ~ " must be built together with " ~ name ~ ", which holds this build's days only: select +" ~ this.identifier
            ) }}
        {% endfor %}
    {% endif %}
{% endmacro %}
