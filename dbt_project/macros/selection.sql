{#
  Pre-hook of a mart that reads tables which hold the days that were built: refuses to run without them, because their rows of
  this window may be of before. Choose `+usage_daily`, or build everything.
#}
{% macro build_together_with(models) %}
    {% if execute %}
        {% for name in models if 'model.' ~ project_name ~ '.' ~ name not in selected_resources %}
            {{ exceptions.raise_compiler_error(
                this.identifier ~ " must be built together with " ~ name ~ ", which holds the days that it is computed from: select +" ~ this.identifier
            ) }}
        {% endfor %}
    {% endif %}
{% endmacro %}
