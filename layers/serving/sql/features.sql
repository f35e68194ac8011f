-- One row per person and feature; numbers as numbers.
select f.person, k.key as feature, json_extract_string(f.features, '$."' || k.key || '"') as value,
    try_cast(json_extract_string(f.features, '$."' || k.key || '"') as double) as number, f.as_of
from member_features f, unnest(json_keys(f.features)) as k(key)
