//! The functions that a reader may use; DuckDB has more, and what is not named here is not served.
//!
//! Left out are those that act (logs, profiles, checkpoints, sleep), read files, settings or what others ask, run SQL that is
//! given as text, and those that follow the nesting of a document with their own stack: a deep one would end the process.

use std::collections::HashSet;
use std::sync::OnceLock;

/// Operators, which DuckDB keeps as functions.
const OPERATORS: &str = "!__postfix !~~ !~~* % & && * ** + - ->> / // <-> << <=> <@ >> @ @> ^ ^@ | || ~ ~~ ~~* ~~~";
/// Numbers, texts, times, aggregates and windows.
const PLAIN: &str = "abs acos acosh add age aggregate ago any_value apply approx_count_distinct approx_quantile approx_top_k \
    arbitrary arg_max arg_max_null arg_max_nulls_last arg_min arg_min_null arg_min_nulls_last argmax argmin ascii \
    asin asinh atan atan2 atanh avg bar base64 bin bit_and bit_count bit_length bit_or bit_position bit_xor \
    bitstring bitstring_agg bool_and bool_or cardinality cbrt ceil ceiling century char_length character_length chr \
    col_description concat concat_ws contains corr cos cosh cot count count_if count_star countif covar_pop \
    covar_samp cume_dist damerau_levenshtein date_add date_diff date_part date_sub date_trunc datediff datepart \
    datesub datetrunc day dayname dayofmonth dayofweek dayofyear days_in_month decade decode degrees dense_rank \
    divide editdist3 element_at encode ends_with entropy enum_code enum_first enum_last enum_range \
    enum_range_boundary epoch epoch_ms epoch_ns epoch_us equi_width_bins era even exp factorial favg fdiv fill \
    filter first first_value flatten floor fmod format format_bytes format_type formatreadabledecimalsize \
    formatreadablesize from_base64 from_binary from_hex fsum gamma gcd gen_random_uuid generate_series \
    generate_subscripts geomean geometric_mean get_bit get_current_time get_current_timestamp greatest \
    greatest_common_divisor group_concat hamming hash hex histogram histogram_exact hour ilike_escape instr isfinite \
    isinf isnan isodow isoyear jaccard jaro_similarity jaro_winkler_similarity julian kahan_sum kurtosis \
    kurtosis_pop lag last last_day last_value lcase lcm lead least least_common_multiple left left_grapheme len \
    length length_grapheme levenshtein lgamma like_escape ln log log10 log2 lower lpad ltrim mad make_date make_time \
    make_timestamp make_timestamp_ms make_timestamp_ns make_timestamptz max max_by md5 md5_number md5_number_lower \
    md5_number_upper mean median microsecond millennium millisecond min min_by minute mismatches mod mode month \
    monthname multiply nanosecond nextafter nfc_normalize normalized_interval not_ilike_escape not_like_escape now \
    nth_value ntile nullif obj_description octet_length ord parse_dirname parse_dirpath parse_filename \
    parse_formatted_bytes parse_path percent_rank pi position pow power prefix printf product quantile quantile_cont \
    quantile_disc quarter radians random range rank rank_dense reduce regexp_escape regexp_extract \
    regexp_extract_all regexp_full_match regexp_matches regexp_replace regexp_split_to_array regexp_split_to_table \
    regr_avgx regr_avgy regr_count regr_intercept regr_r2 regr_slope regr_sxx regr_sxy regr_syy repeat replace \
    reservoir_quantile reverse right right_grapheme round round_even roundbankers row row_number row_to_json rpad \
    rtrim second sem session_user set_bit sha1 sha256 shobj_description sign signbit sin sinh skewness split \
    split_part sqrt starts_with stddev stddev_pop stddev_samp str_split str_split_regex strftime string_agg \
    string_split string_split_regex string_to_array strip_accents strlen strpos strptime substr substring \
    substring_grapheme subtract suffix sum sum_no_overflow sumkahan tan tanh time_bucket timezone timezone_hour \
    timezone_minute to_base to_base64 to_binary to_centuries to_days to_decades to_hex to_hours to_json \
    to_microseconds to_millennia to_milliseconds to_minutes to_months to_quarters to_seconds to_timestamp to_weeks \
    to_years today transaction_timestamp translate trim trunc try_strptime typeof ucase unhex unicode union_extract \
    union_tag union_value upper url_decode url_encode uuid uuid_extract_timestamp uuid_extract_version uuidv4 uuidv7 \
    var_pop var_samp variance version wavg week weekday weekofyear weighted_avg xor year yearweek";
/// Lists and arrays.
const LISTS: &str = "array_agg array_aggr array_aggregate array_append array_apply array_cat array_concat array_contains \
    array_cosine_distance array_cosine_similarity array_cross_product array_distance array_distinct \
    array_dot_product array_extract array_filter array_grade_up array_has array_has_all array_has_any array_indexof \
    array_inner_product array_intersect array_length array_negative_dot_product array_negative_inner_product \
    array_pop_back array_pop_front array_position array_prepend array_push_back array_push_front array_reduce \
    array_resize array_reverse array_reverse_sort array_select array_slice array_sort array_to_json array_to_string \
    array_to_string_comma_default array_transform array_unique array_value array_where array_zip list list_aggr \
    list_aggregate list_any_value list_append list_apply list_approx_count_distinct list_avg list_bit_and \
    list_bit_or list_bit_xor list_bool_and list_bool_or list_cat list_concat list_contains list_cosine_distance \
    list_cosine_similarity list_count list_distance list_distinct list_dot_product list_element list_entropy \
    list_extract list_filter list_first list_grade_up list_has list_has_all list_has_any list_histogram list_indexof \
    list_inner_product list_intersect list_kurtosis list_kurtosis_pop list_last list_mad list_max list_median \
    list_min list_mode list_negative_dot_product list_negative_inner_product list_pack list_position list_prepend \
    list_product list_reduce list_resize list_reverse list_reverse_sort list_select list_sem list_skewness \
    list_slice list_sort list_stddev_pop list_stddev_samp list_string_agg list_sum list_transform list_unique \
    list_value list_var_pop list_var_samp list_where list_zip listagg";
/// Maps and structs.
const NESTED: &str = "map map_concat map_contains map_contains_entry map_contains_value map_entries map_extract map_extract_value \
    map_from_entries map_keys map_to_pg_oid map_values struct_concat struct_contains struct_extract \
    struct_extract_at struct_has struct_indexof struct_insert struct_keys struct_pack struct_position struct_update \
    struct_values";
/// JSON documents, one level or one path at a time.
const JSON: &str = "json json_array json_array_length json_exists json_extract json_extract_path json_extract_path_text \
    json_extract_string json_group_array json_group_object json_keys json_object json_quote json_type json_valid \
    json_value";
/// What tools ask before they show anything.
const CATALOGUE: &str = "current_catalog current_database current_date current_localtime current_localtimestamp current_role \
    current_schema current_schemas current_user has_any_column_privilege has_column_privilege has_database_privilege \
    has_foreign_data_wrapper_privilege has_function_privilege has_language_privilege has_schema_privilege \
    has_sequence_privilege has_server_privilege has_table_privilege has_tablespace_privilege pg_collation_is_visible \
    pg_conversion_is_visible pg_function_is_visible pg_get_constraintdef pg_get_expr pg_get_viewdef pg_has_role \
    pg_is_other_temp_schema pg_my_temp_schema pg_opclass_is_visible pg_operator_is_visible pg_opfamily_is_visible \
    pg_postmaster_start_time pg_size_pretty pg_table_is_visible pg_ts_config_is_visible pg_ts_dict_is_visible \
    pg_ts_parser_is_visible pg_ts_template_is_visible pg_type_is_visible pg_typeof user";
/// Names that only the parser makes.
const PARSED: &str = "unnest";
/// Functions that stand where a table stands.
const TABLES: &str = "duckdb_columns duckdb_constraints duckdb_functions duckdb_indexes duckdb_keywords duckdb_schemas duckdb_tables \
    duckdb_types duckdb_views generate_series icu_calendar_names json_each json_tree pg_timezone_names \
    pragma_table_info pragma_version range unnest";

/// Whether a function may be used.
pub(crate) fn is_served(name: &str) -> bool {
    static ALL: OnceLock<HashSet<&'static str>> = OnceLock::new();
    let all = ALL.get_or_init(|| {
        [OPERATORS, PLAIN, LISTS, NESTED, JSON, CATALOGUE, PARSED, TABLES]
            .into_iter()
            .flat_map(str::split_ascii_whitespace)
            .collect()
    });
    all.contains(name.to_ascii_lowercase().as_str())
}

/// Whether a function may stand where a table stands.
pub(crate) fn is_served_as_table(name: &str) -> bool {
    TABLES.split_ascii_whitespace().any(|table| table.eq_ignore_ascii_case(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_is_one_of_duckdb() {
        let connection = duckdb::Connection::open_in_memory().unwrap();
        let mut read = connection.prepare("select distinct lower(function_name) from duckdb_functions()").unwrap();
        let known: HashSet<String> =
            read.query_map([], |row| row.get(0)).unwrap().collect::<duckdb::Result<_>>().unwrap();
        for name in [OPERATORS, PLAIN, LISTS, NESTED, JSON, CATALOGUE, PARSED, TABLES].join(" ").split_whitespace() {
            assert!(known.contains(name) || PARSED.contains(name), "{name}");
        }
    }
}
