"""The columns of every table, declared so that they exist while no row fills them; whatever is measured is a double."""

from __future__ import annotations

from dlt.common.schema.typing import TTableSchemaColumns

REMOVED: TTableSchemaColumns = {
    "removed": {
        "data_type": "bool", "hard_delete": True,
        "description": "never true in the table: marks days whose rows are to be deleted",
    }
}  # fmt: skip
DESCRIPTIONS = {
    "account": "whose row it is: a name of `accounts`",
    "calendar_date": "day on the wall clock of the person; nights and what follows from them have the day of waking",
    "utc_offset_minutes": "how far the wall clock was ahead of UTC",
    "measured_at": "moment of the reading (UTC)",
    "stress_level": "0 to 100; -1 no reading, -2 not worn or active",
    "breaths_per_minute": "negative where there was no reading",
    "stage": "deep, light, rem or awake",
    "period": "what the row is about: the day, the week that begins on it, or an average that begins on it",
    "sport": "generic, cycling, or heat_altitude_acclimation",
    "device_id": "Garmin's number of the device; 0 for none",
    "capabilities": "what the device can do, as the API names it",
    "sample_index": "place of the sample in its activity",
    "temperature_fahrenheit": "of the air, whatever the units of the person",
}


def columns(keys: str, **types: str) -> TTableSchemaColumns:
    """Columns by data type; `keys` and the account are never null."""
    found: TTableSchemaColumns = {}
    for data_type, names in {**types, "text": f"account {types.get('text', '')}"}.items():
        for name in names.split():
            found[name] = {"data_type": data_type, "nullable": name not in ("account", *keys.split())}  # type: ignore[typeddict-item]
            if name in DESCRIPTIONS:
                found[name]["description"] = DESCRIPTIONS[name]
    return found


DAY = "calendar_date"
SPAN = "start_timestamp_gmt end_timestamp_gmt"
OFFSET = "utc_offset_minutes"
_FEEDBACK = "body_battery_dynamic_feedback_event end_of_day_body_battery_dynamic_feedback_event"

SLEEP = columns(
    DAY,
    date=DAY,
    bigint=f"id user_profile_pk {OFFSET}",
    timestamp=(
        "sleep_start_timestamp_gmt sleep_end_timestamp_gmt auto_sleep_start_timestamp_gmt auto_sleep_end_timestamp_gmt"
    ),
    double=(
        "sleep_time_seconds nap_time_seconds unmeasurable_sleep_seconds deep_sleep_seconds light_sleep_seconds "
        "rem_sleep_seconds awake_sleep_seconds average_spo2_value lowest_spo2_value highest_spo2_value "
        "average_spo2_hr_sleep average_respiration_value lowest_respiration_value highest_respiration_value "
        "awake_count avg_sleep_stress sleep_scores__overall__value sleep_scores__rem_percentage__value "
        "sleep_scores__light_percentage__value sleep_scores__deep_percentage__value avg_overnight_hrv_ms "
        "avg_skin_temp_deviation_c avg_skin_temp_deviation_f body_battery_change skin_temp_calibration_days "
        "resting_heart_rate_bpm restless_moments_count sleep_need__baseline_minutes sleep_need__actual_minutes"
    ),
    text=(
        "sleep_window_confirmation_type age_group sleep_score_feedback sleep_score_insight "
        "sleep_score_personalized_insight sleep_scores__overall__qualifier_key sleep_need__feedback hrv_status"
    ),
    bool="sleep_window_confirmed device_rem_capable retro sleep_from_device rem_sleep_data skin_temp_data_exists",
    json="next_sleep_need wellness_spo2_sleep_summary_dto",
)
SLEEP_STAGES = columns(
    f"{DAY} start_gmt", date=DAY, timestamp="start_gmt end_gmt", double="activity_level", text="stage"
)
SLEEP_SAMPLES = columns(
    f"{DAY} measured_at",
    date=DAY,
    timestamp="measured_at",
    double=(
        "movement_level heart_rate_bpm stress_level body_battery_level hrv_ms restless_moments breaths_per_minute "
        "spo2_percent"
    ),
)
STEPS = columns(
    f"{DAY} start_gmt",
    date=DAY,
    timestamp="start_gmt end_gmt",
    bigint="steps pushes",
    text="primary_activity_level",
    bool="activity_level_constant",
)
HEART_RATE = columns(
    DAY,
    date=DAY,
    timestamp=SPAN,
    bigint=f"user_profile_pk {OFFSET}",
    double="max_heart_rate_bpm min_heart_rate_bpm resting_heart_rate_bpm last_seven_days_avg_resting_heart_rate_bpm",
)
HEART_RATE_SAMPLES = columns(f"{DAY} measured_at", date=DAY, timestamp="measured_at", double="heart_rate_bpm")
BODY_BATTERY = columns(
    DAY,
    date=DAY,
    timestamp=SPAN,
    bigint=OFFSET,
    double="charged drained",
    json=f"body_battery_activity_event {_FEEDBACK}",
)
BODY_BATTERY_SAMPLES = columns(f"{DAY} measured_at", date=DAY, timestamp="measured_at", double="body_battery_level")
STRESS = columns(
    DAY,
    date=DAY,
    timestamp=SPAN,
    bigint=f"user_profile_pk {OFFSET}",
    double="max_stress_level avg_stress_level stress_chart_value_offset stress_chart_y_axis_origin",
)
STRESS_SAMPLES = columns(
    f"{DAY} measured_at",
    date=DAY,
    timestamp="measured_at",
    double="stress_level body_battery_level body_battery_version",
    text="body_battery_status",
)
WEIGHT = columns(
    f"{DAY} sample_pk",
    date=DAY,
    bigint=f"sample_pk {OFFSET}",
    timestamp="timestamp_gmt",
    double=(
        "weight_g bmi body_fat_percent body_water_percent bone_mass_g muscle_mass_g physique_rating visceral_fat "
        "metabolic_age_years weight_delta_g"
    ),
    text="source_type",
)
USER_SUMMARY = columns(
    DAY,
    date=DAY,
    timestamp=(
        "wellness_start_time_gmt wellness_end_time_gmt last_sync_timestamp_gmt latest_spo2_reading_time_gmt "
        "latest_respiration_time_gmt"
    ),
    bigint=f"user_profile_id user_daily_summary_id total_steps daily_step_goal {OFFSET}",
    double=(
        "total_kilocalories active_kilocalories bmr_kilocalories wellness_kilocalories burned_kilocalories "
        "consumed_kilocalories remaining_kilocalories net_calorie_goal total_distance_meters "
        "wellness_distance_meters wellness_active_kilocalories net_remaining_kilocalories "
        "duration_in_milliseconds highly_active_seconds active_seconds sedentary_seconds sleeping_seconds "
        "moderate_intensity_minutes vigorous_intensity_minutes floors_ascended_in_meters "
        "floors_descended_in_meters floors_ascended floors_descended intensity_minutes_goal "
        "user_floors_ascended_goal min_heart_rate_bpm max_heart_rate_bpm resting_heart_rate_bpm "
        "last_seven_days_avg_resting_heart_rate_bpm average_stress_level max_stress_level "
        "stress_duration_seconds rest_stress_duration_seconds activity_stress_duration_seconds "
        "uncategorized_stress_duration_seconds total_stress_duration_seconds low_stress_duration_seconds "
        "medium_stress_duration_seconds high_stress_duration_seconds stress_percentage rest_stress_percentage "
        "activity_stress_percentage uncategorized_stress_percentage low_stress_percentage "
        "medium_stress_percentage high_stress_percentage measurable_awake_seconds measurable_asleep_seconds "
        "min_avg_heart_rate_bpm max_avg_heart_rate_bpm body_battery_charged_value body_battery_drained_value "
        "body_battery_highest_value body_battery_lowest_value body_battery_most_recent_value "
        "body_battery_during_sleep body_battery_at_wake_time body_battery_version abnormal_heart_rate_alerts_count "
        "average_spo2 lowest_spo2 latest_spo2 average_monitoring_environment_altitude_m "
        "resting_calories_from_activity avg_waking_respiration_value highest_respiration_value "
        "lowest_respiration_value latest_respiration_value respiration_algorithm_version"
    ),
    text="uuid wellness_description source stress_qualifier rule__type_key",
    bool="includes_wellness_data includes_activity_data includes_calorie_consumed_data privacy_protected",
    json=f"body_battery_activity_event_list {_FEEDBACK}",
)
TRAINING_READINESS = columns(
    f"{DAY} timestamp device_id",
    date=DAY,
    timestamp="timestamp",
    bigint=f"user_profile_pk device_id {OFFSET}",
    double=(
        "score sleep_score sleep_score_factor_percent recovery_time_minutes recovery_time_factor_percent "
        "acwr_factor_percent acute_load stress_history_factor_percent hrv_factor_percent hrv_weekly_average_ms "
        "sleep_history_factor_percent"
    ),
    text=(
        "level feedback_long feedback_short sleep_score_factor_feedback recovery_time_factor_feedback "
        "acwr_factor_feedback stress_history_factor_feedback hrv_factor_feedback sleep_history_factor_feedback "
        "input_context recovery_time_change_phrase"
    ),
    bool="valid_sleep primary_activity_tracker",
)
RHR_DAILY = columns(DAY, date=DAY, double="resting_heart_rate_bpm")
SPO2 = columns(
    DAY,
    date=DAY,
    timestamp=(
        f"{SPAN} sleep_start_timestamp_gmt sleep_end_timestamp_gmt tomorrow_sleep_start_timestamp_gmt "
        "tomorrow_sleep_end_timestamp_gmt latest_spo2_timestamp_gmt"
    ),
    bigint=f"user_profile_pk {OFFSET}",
    double="average_spo2 lowest_spo2 last_seven_days_avg_spo2 latest_spo2 avg_sleep_spo2 avg_tomorrow_sleep_spo2",
)
SPO2_SAMPLES = columns(
    f"{DAY} measured_at",
    date=DAY,
    timestamp="measured_at",
    double="hourly_average_percent single_percent continuous_percent",
)
RESPIRATION = columns(
    DAY,
    date=DAY,
    timestamp=(
        f"{SPAN} sleep_start_timestamp_gmt sleep_end_timestamp_gmt tomorrow_sleep_start_timestamp_gmt "
        "tomorrow_sleep_end_timestamp_gmt"
    ),
    bigint=f"user_profile_pk {OFFSET}",
    double=(
        "lowest_respiration_value highest_respiration_value avg_waking_respiration_value "
        "avg_sleep_respiration_value avg_tomorrow_sleep_respiration_value respiration_version"
    ),
)
RESPIRATION_SAMPLES = columns(
    f"{DAY} measured_at",
    date=DAY,
    timestamp="measured_at",
    double=("breaths_per_minute average_breaths_per_minute highest_breaths_per_minute lowest_breaths_per_minute"),
)
INTENSITY_MINUTES = columns(
    DAY,
    date=DAY,
    timestamp=SPAN,
    bigint=f"user_profile_pk {OFFSET}",
    double=(
        "weekly_moderate weekly_vigorous weekly_total week_goal start_day_minutes end_day_minutes moderate_minutes "
        "vigorous_minutes"
    ),
    text="day_of_goal_met",
)
INTENSITY_SAMPLES = columns(f"{DAY} measured_at", date=DAY, timestamp="measured_at", double="intensity_minutes")
MAX_METRICS = columns(
    f"{DAY} sport",
    date=(
        f"{DAY} altitude_acclimation_date previous_altitude_acclimation_date heat_acclimation_date "
        "previous_heat_acclimation_date"
    ),
    double=(
        "vo2_max_precise_value vo2_max_value fitness_age max_met_category altitude_acclimation "
        "previous_altitude_acclimation heat_acclimation_percentage previous_heat_acclimation_percentage "
        "current_altitude previous_altitude acclimation_percentage previous_acclimation_percentage"
    ),
    text="sport fitness_age_description heat_trend altitude_trend",
)
ALL_DAY_EVENTS = columns(
    f"{DAY} start_timestamp_gmt activity_type device_id",
    date=DAY,
    timestamp=SPAN,
    bigint=f"user_profile_pk device_id {OFFSET}",
    double="duration_minutes",
    text="activity_type activity_sub_type",
)
_LOADS = "monthly_load_aerobic_low monthly_load_aerobic_high monthly_load_anaerobic"
TRAINING_STATUS = columns(
    f"{DAY} device_id",
    date=f"{DAY} since_date vo2max__calendar_date cycling_vo2max__calendar_date load_balance__calendar_date",
    timestamp="timestamp",
    bigint="device_id load_balance__device_id",
    double=(
        "weekly_training_load training_status load_tunnel_min load_tunnel_max load_level_trend fitness_trend "
        "acute_training_load_dto__acwr_percent acute_training_load_dto__daily_training_load_acute "
        "acute_training_load_dto__max_training_load_chronic acute_training_load_dto__min_training_load_chronic "
        "acute_training_load_dto__daily_training_load_chronic "
        "acute_training_load_dto__daily_acute_chronic_workload_ratio "
        "vo2max__vo2_max_precise_value vo2max__vo2_max_value vo2max__fitness_age vo2max__max_met_category "
        "cycling_vo2max__vo2_max_precise_value cycling_vo2max__vo2_max_value cycling_vo2max__fitness_age "
        "cycling_vo2max__max_met_category "
        + " ".join(
            f"load_balance__{load}{end}" for load in _LOADS.split() for end in ("", "_target_min", "_target_max")
        )
    ),
    text=(
        "sport sub_sport fitness_trend_sport training_status_feedback_phrase acute_training_load_dto__acwr_status "
        "acute_training_load_dto__acwr_status_feedback load_balance__training_balance_feedback_phrase "
        "vo2max__fitness_age_description cycling_vo2max__fitness_age_description"
    ),
    bool="training_paused primary_training_device load_balance__primary_training_device",
)
HRV = columns(
    DAY,
    date=DAY,
    timestamp="create_time_stamp start_timestamp_gmt end_timestamp_gmt sleep_start_timestamp_gmt "
    "sleep_end_timestamp_gmt",
    bigint=f"user_profile_pk {OFFSET}",
    double=(
        "weekly_avg_ms last_night_avg_ms last_night_5_min_high_ms baseline__low_upper_ms baseline__balanced_low_ms "
        "baseline__balanced_upper_ms baseline__marker_value"
    ),
    text="status feedback_phrase",
)
HRV_SAMPLES = columns(f"{DAY} measured_at", date=DAY, timestamp="measured_at", double="hrv_ms")
RACE_PREDICTIONS = columns(
    DAY,
    date=DAY,
    bigint="user_id",
    double="time_5k_seconds time_10k_seconds time_half_marathon_seconds time_marathon_seconds",
)
FLOORS = columns(f"{DAY} start_gmt", date=DAY, timestamp="start_gmt end_gmt", double="floors_ascended floors_descended")
ENDURANCE_SCORE = columns(
    f"{DAY} period",
    date=DAY,
    bigint="user_profile_pk device_id",
    double=(
        "group_average group_max overall_score classification feedback_phrase gauge_lower_limit gauge_upper_limit "
        "classification_lower_limit_intermediate classification_lower_limit_trained "
        "classification_lower_limit_well_trained classification_lower_limit_expert "
        "classification_lower_limit_superior classification_lower_limit_elite"
    ),
    text="period",
    bool="primary_training_device",
    json="endurance_contributor_dto_list contributors",
)
HILL_SCORE = columns(
    f"{DAY} period device_id",
    date=DAY,
    bigint="user_profile_pk device_id",
    double=(
        "strength_score endurance_score hill_score_classification_id overall_score hill_score_feedback_phrase_id "
        "vo2_max vo2_max_precise_value"
    ),
    text="period",
    bool="primary_training_device",
)
LIFESTYLE_LOGGING = columns(
    f"{DAY} behaviour_id",
    date=DAY,
    bigint="behaviour_id",
    double="total_tracking completed_tracking",
    text="name category measurement_type log_status",
    json="details",
)
DEVICE_INFO = columns(
    "device_id",
    bigint="device_id unit_id device_type_pk active_ind",
    timestamp="registered_date",
    double="current_firmware_version_major current_firmware_version_minor",
    text=(
        "application_key display_name product_display_name serial_number part_number product_sku "
        "actual_product_sku image_url current_firmware_version device_status"
    ),
    bool="primary primary_activity_tracker_indicator is_primary_user wifi bluetooth_low_energy_device "
    "has_optical_heart_rate",
    json="device_categories capabilities",
)
_SECONDS_IN = " ".join(f"{kind}_time_in_zone_{zone}_seconds" for kind in ("hr", "power") for zone in range(1, 6))
ACTIVITIES = columns(
    "activity_id",
    bigint="activity_id owner_id device_id workout_id parent_id course_id time_zone_id sport_type_id "
    "activity_type__type_id activity_type__parent_type_id event_type__type_id event_type__sort_order "
    f"privacy__type_id steps lap_count {OFFSET}",
    date=DAY,
    timestamp="start_time_gmt end_time_gmt begin_timestamp",
    double=(
        "distance_m duration_seconds elapsed_duration_seconds moving_duration_seconds elevation_gain_m "
        "elevation_loss_m average_speed_mps max_speed_mps start_latitude start_longitude end_latitude end_longitude "
        "calories_kcal bmr_calories_kcal average_hr_bpm max_hr_bpm average_running_cadence_in_steps_per_minute "
        "max_running_cadence_in_steps_per_minute average_biking_cadence_in_rev_per_minute "
        "max_biking_cadence_in_rev_per_minute average_swim_cadence_in_strokes_per_minute "
        "max_swim_cadence_in_strokes_per_minute average_swolf active_lengths strokes avg_power_w max_power_w "
        "norm_power_w max20_min_power_w training_stress_score intensity_factor aerobic_training_effect "
        "anaerobic_training_effect activity_training_load avg_vertical_oscillation_cm avg_ground_contact_time_ms "
        "avg_ground_contact_balance avg_stride_length_cm avg_vertical_ratio_percent vo2_max_value "
        "min_temperature_c max_temperature_c min_elevation_m max_elevation_m max_vertical_speed_mps "
        "max_double_cadence avg_double_cadence avg_fractional_cadence max_fractional_cadence water_estimated_ml "
        "min_activity_lap_duration_seconds avg_grade_adjusted_speed_mps fastest_split_1000_seconds "
        "fastest_split_1609_seconds moderate_intensity_minutes vigorous_intensity_minutes difference_body_battery "
        f"lactate_threshold_bpm lactate_threshold_speed max_ftp pool_length avg_strokes min_strokes {_SECONDS_IN}"
    ),
    text=(
        "activity_name description comments activity_type__type_key event_type__type_key privacy__type_key "
        "location_name manufacturer training_effect_label aerobic_training_effect_message "
        "anaerobic_training_effect_message owner_display_name owner_full_name"
    ),
    bool=(
        "has_polyline has_images has_video has_splits has_heat_map favorite pr parent purposeful manual_activity "
        "auto_calc_calories elevation_corrected atp_activity deco_dive qualifying_dive user_pro"
    ),
    json="user_roles split_summaries summarized_exercise_sets summarized_dive_info",
)
ACTIVITY_DETAILS = columns(
    "activity_id",
    bigint="activity_id",
    double="measurement_count metrics_count total_metrics_count",
    bool="details_available is_down_sampled",
    json="geo_polyline_dto heart_rate_dt_os pending_data",
)
ACTIVITY_SAMPLES = columns(
    "activity_id sample_index",
    bigint="activity_id sample_index",
    timestamp="measured_at",
    double=(
        "duration_seconds elapsed_duration_seconds moving_duration_seconds distance_m speed_mps "
        "grade_adjusted_speed_mps vertical_speed_mps elevation_m latitude_degrees longitude_degrees heart_rate_bpm "
        "power_w run_cadence_spm double_cadence_spm fractional_cadence_spm bike_cadence_rpm stride_length_cm "
        "vertical_oscillation_cm vertical_ratio_percent ground_contact_time_ms air_temperature_c "
        "body_battery_level available_stamina_percent potential_stamina_percent performance_condition "
        "accumulated_power"
    ),
)
_LAP = (
    "distance_m duration_seconds moving_duration_seconds elapsed_duration_seconds elevation_gain_m elevation_loss_m "
    "max_elevation_m min_elevation_m average_speed_mps average_moving_speed_mps max_speed_mps calories_kcal "
    "bmr_calories_kcal average_hr_bpm max_hr_bpm average_run_cadence max_run_cadence average_temperature_c "
    "average_power_w max_power_w normalized_power_w ground_contact_time_ms stride_length_cm vertical_oscillation_cm "
    "vertical_ratio_percent avg_grade_adjusted_speed_mps start_latitude start_longitude end_latitude end_longitude"
)
ACTIVITY_SPLITS = columns(
    "activity_id lap_index",
    bigint="activity_id lap_index wkt_step_index message_index",
    timestamp="start_time_gmt",
    double=_LAP,
    text="intensity_type",
    json="length_dt_os connect_iq_measurement",
)
ACTIVITY_TYPED_SPLITS = columns(
    "activity_id type message_index",
    bigint=f"activity_id message_index {OFFSET}",
    timestamp="start_time_gmt end_time_gmt",
    double=_LAP,
    text="type",
    json="lap_indexes",
)
ACTIVITY_SPLIT_SUMMARIES = columns(
    "activity_id split_type",
    bigint="activity_id",
    double=f"no_of_splits total_ascent_m max_distance_m max_distance_with_precision_m {_LAP}",
    text="split_type",
)
ACTIVITY_WEATHER = columns(
    "activity_id",
    bigint="activity_id",
    timestamp="issue_date",
    double=(
        "temperature_fahrenheit apparent_temperature_fahrenheit dew_point_fahrenheit relative_humidity_percent "
        "wind_direction_degrees wind_speed_mph wind_gust_mph latitude longitude"
    ),
    text=(
        "wind_direction_compass_point weather_station_dto__id weather_station_dto__name "
        "weather_station_dto__timezone weather_type_dto__desc weather_type_dto__image"
    ),
)
ACTIVITY_HR_ZONES = columns(
    "activity_id zone_number",
    bigint="activity_id zone_number",
    double="seconds_in_zone zone_low_boundary_bpm",
)
ACTIVITY_EXERCISE_SETS = columns(
    "activity_id message_index",
    bigint="activity_id message_index wkt_step_index repetition_count",
    timestamp="start_time",
    double="duration_seconds weight_g",
    text="set_type",
    json="exercises",
)
