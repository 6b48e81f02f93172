{# What R2 bills an action as: developers.cloudflare.com/r2/pricing. An action that is not in its lists is of no class, and has no price. #}
{% macro r2_class(action) -%}
    case
        when {{ action }} in (
            'ListBuckets', 'PutBucket', 'ListObjects', 'PutObject', 'CopyObject', 'CompleteMultipartUpload', 'CreateMultipartUpload',
            'LifecycleStorageTierTransition', 'ListMultipartUploads', 'UploadPart', 'UploadPartCopy', 'ListParts',
            'PutBucketEncryption', 'PutBucketCors', 'PutBucketLifecycleConfiguration'
        ) then 'class_a'
        when {{ action }} in (
            'HeadBucket', 'HeadObject', 'GetObject', 'UsageSummary',
            'GetBucketEncryption', 'GetBucketLocation', 'GetBucketCors', 'GetBucketLifecycleConfiguration'
        ) then 'class_b'
        when {{ action }} in ('DeleteObject', 'DeleteBucket', 'AbortMultipartUpload') then 'free'
        else 'unclassified'
    end
{%- endmacro %}
