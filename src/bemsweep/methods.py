"""Which fields of an object its own calculation method uses.

EnergyPlus says nothing when a field is set that the object's method ignores: the run succeeds and nothing
has changed. This table lets such an edit be refused. It lists only what the engine is known to ignore and
never guesses: a field that is not listed counts as used. It holds no model and reads no file.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from types import MappingProxyType

__all__ = ["METHODS", "Method", "methods_of"]


@dataclass(frozen=True)
class Method:
    """One choice field and the fields that each of its values uses."""

    object: str
    """Object type."""
    field: str
    """The choice field."""
    uses: Mapping[str, tuple[str, ...]]
    """Value of the choice field -> the fields that it uses, of those that the choice governs."""

    @property
    def governed(self) -> frozenset[str]:
        """The fields that at least one value uses and at least one other ignores."""
        return frozenset(field for fields in self.uses.values() for field in fields)

    def values_using(self, field: str) -> tuple[str, ...]:
        """Return the values of the choice under which `field` counts."""
        return tuple(value for value, fields in self.uses.items() if field in fields)

    def fields_used(self, value: str) -> tuple[str, ...] | None:
        """Return the governed fields that `value` uses, or None for a value that the table does not know."""
        return next((fields for known, fields in self.uses.items() if known.casefold() == value.casefold()), None)


def _methods(objects: tuple[str, ...], field: str, uses: Mapping[str, tuple[str, ...]]) -> list[Method]:
    return [Method(object_type, field, MappingProxyType(dict(uses))) for object_type in objects]


def _gains(level: str, per_area: str, per_person: str, *, words: tuple[str, ...]) -> dict[str, tuple[str, ...]]:
    uses: dict[str, tuple[str, ...]] = {"LightingLevel" if level == "lighting_level" else "EquipmentLevel": (level,)}
    for word in words:
        uses[f"{word}/Area"] = (per_area,)
        uses[f"{word}/Person"] = (per_person,)
    return uses


_AIR_FLOW = {
    "Flow/Zone": ("design_flow_rate",),
    "Flow/Area": ("flow_rate_per_floor_area",),
    "AirChanges/Hour": ("air_changes_per_hour",),
}
_OUTDOOR_AIR = {
    "Flow/Person": ("outdoor_air_flow_per_person",),
    "Flow/Area": ("outdoor_air_flow_per_zone_floor_area",),
    "Flow/Zone": ("outdoor_air_flow_per_zone",),
    "AirChanges/Hour": ("outdoor_air_flow_air_changes_per_hour",),
}
_ALL_OUTDOOR_AIR = tuple(field for fields in _OUTDOOR_AIR.values() for field in fields)


def _capacity(mode: str, *, has_own_capacity: bool = True) -> dict[str, tuple[str, ...]]:
    title = mode.capitalize()
    uses: dict[str, tuple[str, ...]] = {
        "CapacityPerFloorArea": (f"{mode}_design_capacity_per_floor_area",),
        f"FractionOfAutosized{title}Capacity": (f"fraction_of_autosized_{mode}_design_capacity",),
    }
    # Objects named ...:Design share these settings; the capacity itself stands in the objects that use them.
    uses[f"{title}DesignCapacity"] = (f"{mode}_design_capacity",) if has_own_capacity else ()
    return uses


def _minimum_flow() -> dict[str, tuple[str, ...]]:
    constant, fixed = "constant_minimum_air_flow_fraction", "fixed_minimum_air_flow_rate"
    # Under Scheduled the other two still size reheat coils, so only the first two values ignore anything.
    return {
        "Constant": (constant,),
        "FixedFlowRate": (fixed,),
        "Scheduled": (constant, fixed, "minimum_air_flow_fraction_schedule_name"),
    }


_PUMP_POWER = {
    "PowerPerFlow": ("design_electric_power_per_unit_flow_rate",),
    "PowerPerFlowPerPressure": ("design_shaft_power_per_unit_flow_rate_per_unit_head",),
}


def _ideal_loads_limit(mode: str) -> dict[str, tuple[str, ...]]:
    flow, capacity = f"maximum_{mode}_air_flow_rate", f"maximum_{_CAPACITY_WORD[mode]}_{mode}_capacity"
    return {
        "NoLimit": (),
        "LimitFlowRate": (flow,),
        "LimitCapacity": (capacity,),
        "LimitFlowRateAndCapacity": (flow, capacity),
    }


_CAPACITY_WORD = {"heating": "sensible", "cooling": "total"}

METHODS: tuple[Method, ...] = (
    *_methods(
        ("Lights",),
        "design_level_calculation_method",
        _gains("lighting_level", "watts_per_floor_area", "watts_per_person", words=("Watts",)),
    ),
    *_methods(
        ("ElectricEquipment",),
        "design_level_calculation_method",
        _gains("design_level", "watts_per_floor_area", "watts_per_person", words=("Watts",)),
    ),
    *_methods(
        ("GasEquipment", "HotWaterEquipment", "SteamEquipment", "OtherEquipment"),
        "design_level_calculation_method",
        _gains("design_level", "power_per_floor_area", "power_per_person", words=("Watts", "Power")),
    ),
    *_methods(
        ("ElectricEquipment:ITE:AirCooled",),
        "design_power_input_calculation_method",
        {"Watts/Unit": ("watts_per_unit", "number_of_units"), "Watts/Area": ("watts_per_floor_area",)},
    ),
    *_methods(
        ("People",),
        "number_of_people_calculation_method",
        {
            "People": ("number_of_people",),
            "People/Area": ("people_per_floor_area",),
            "Area/Person": ("floor_area_per_person",),
        },
    ),
    *_methods(
        ("ZoneInfiltration:DesignFlowRate",),
        "design_flow_rate_calculation_method",
        {
            **_AIR_FLOW,
            "Flow/ExteriorArea": ("flow_rate_per_exterior_surface_area",),
            "Flow/ExteriorWallArea": ("flow_rate_per_exterior_surface_area",),
        },
    ),
    *_methods(
        ("ZoneVentilation:DesignFlowRate", "ZoneMixing", "ZoneCrossMixing"),
        "design_flow_rate_calculation_method",
        {**_AIR_FLOW, "Flow/Person": ("flow_rate_per_person",)},
    ),
    *_methods(
        ("DesignSpecification:OutdoorAir",),
        "outdoor_air_method",
        {**_OUTDOOR_AIR, "Sum": _ALL_OUTDOOR_AIR, "Maximum": _ALL_OUTDOOR_AIR},
    ),
    *(
        method
        for mode in ("cooling", "heating")
        for method in (
            *_methods(
                ("Sizing:Zone",),
                f"zone_{mode}_design_supply_air_temperature_input_method",
                {
                    "SupplyAirTemperature": (f"zone_{mode}_design_supply_air_temperature",),
                    "TemperatureDifference": (f"zone_{mode}_design_supply_air_temperature_difference",),
                },
            ),
            *_methods(
                ("Sizing:Zone",),
                f"{mode}_design_air_flow_method",
                {"DesignDay": (), "DesignDayWithLimit": (), "Flow/Zone": (f"{mode}_design_air_flow_rate",)},
            ),
            *_methods(("Sizing:System",), f"{mode}_design_capacity_method", {**_capacity(mode), "None": ()}),
            *_methods(
                ("DesignSpecification:ZoneHVAC:Sizing",),
                f"{mode}_design_capacity_method",
                {**_capacity(mode), "None": ()},
            ),
            *_methods(("ZoneHVAC:IdealLoadsAirSystem",), f"{mode}_limit", _ideal_loads_limit(mode)),
        )
    ),
    *_methods(
        ("Sizing:System",),
        "cooling_supply_air_flow_rate_method",
        {
            "DesignDay": (),
            "Flow/System": ("cooling_supply_air_flow_rate",),
            "FlowPerFloorArea": ("cooling_supply_air_flow_rate_per_floor_area",),
            "FractionOfAutosizedCoolingAirflow": ("cooling_fraction_of_autosized_cooling_supply_air_flow_rate",),
            "FlowPerCoolingCapacity": ("cooling_supply_air_flow_rate_per_unit_cooling_capacity",),
        },
    ),
    *_methods(
        ("Sizing:System",),
        "heating_supply_air_flow_rate_method",
        {
            "DesignDay": (),
            "Flow/System": ("heating_supply_air_flow_rate",),
            "FlowPerFloorArea": ("heating_supply_air_flow_rate_per_floor_area",),
            "FractionOfAutosizedHeatingAirflow": ("heating_fraction_of_autosized_heating_supply_air_flow_rate",),
            "FractionOfAutosizedCoolingAirflow": ("heating_fraction_of_autosized_cooling_supply_air_flow_rate",),
            "FlowPerHeatingCapacity": ("heating_supply_air_flow_rate_per_unit_heating_capacity",),
        },
    ),
    *_methods(
        (
            "ZoneHVAC:Baseboard:RadiantConvective:Electric",
            "ZoneHVAC:Baseboard:Convective:Water",
            "ZoneHVAC:Baseboard:Convective:Electric",
            "ZoneHVAC:LowTemperatureRadiant:Electric",
            "ZoneHVAC:HighTemperatureRadiant",
        ),
        "heating_design_capacity_method",
        _capacity("heating"),
    ),
    *_methods(
        (
            "ZoneHVAC:Baseboard:RadiantConvective:Water:Design",
            "ZoneHVAC:Baseboard:RadiantConvective:Steam:Design",
            "ZoneHVAC:LowTemperatureRadiant:VariableFlow:Design",
        ),
        "heating_design_capacity_method",
        _capacity("heating", has_own_capacity=False),
    ),
    *_methods(
        ("ZoneHVAC:CoolingPanel:RadiantConvective:Water",),
        "cooling_design_capacity_method",
        {**_capacity("cooling"), "None": ()},
    ),
    *_methods(
        ("ZoneHVAC:LowTemperatureRadiant:VariableFlow:Design",),
        "cooling_design_capacity_method",
        {**_capacity("cooling", has_own_capacity=False), "None": ()},
    ),
    *_methods(
        ("ZoneHVAC:IdealLoadsAirSystem",),
        "dehumidification_control_type",
        {
            "ConstantSensibleHeatRatio": ("cooling_sensible_heat_ratio",),
            "ConstantSupplyHumidityRatio": (),
            "Humidistat": (),
            "None": (),
        },
    ),
    *_methods(
        ("ZoneHVAC:IdealLoadsAirSystem",),
        "heat_recovery_type",
        {
            "None": (),
            "Sensible": ("sensible_heat_recovery_effectiveness",),
            "Enthalpy": ("sensible_heat_recovery_effectiveness", "latent_heat_recovery_effectiveness"),
        },
    ),
    *_methods(
        ("AirTerminal:SingleDuct:VAV:NoReheat", "AirTerminal:SingleDuct:VAV:Reheat"),
        "zone_minimum_air_flow_input_method",
        _minimum_flow(),
    ),
    *_methods(
        ("Fan:SystemModel",),
        "design_power_sizing_method",
        {
            "PowerPerFlow": ("electric_power_per_unit_flow_rate",),
            "PowerPerFlowPerPressure": ("electric_power_per_unit_flow_rate_per_unit_pressure",),
            "TotalEfficiencyAndPressure": ("fan_total_efficiency",),
        },
    ),
    *_methods(
        ("Fan:VariableVolume",),
        "fan_power_minimum_flow_rate_input_method",
        {"Fraction": ("fan_power_minimum_flow_fraction",), "FixedFlowRate": ("fan_power_minimum_air_flow_rate",)},
    ),
    *_methods(
        (
            "Pump:VariableSpeed",
            "Pump:ConstantSpeed",
            "Pump:VariableSpeed:Condensate",
            "HeaderedPumps:ConstantSpeed",
            "HeaderedPumps:VariableSpeed",
        ),
        "design_power_sizing_method",
        _PUMP_POWER,
    ),
    *_methods(
        ("Coil:Heating:Water",),
        "performance_input_method",
        {
            "UFactorTimesAreaAndDesignWaterFlowRate": ("u_factor_times_area_value",),
            "NominalCapacity": ("rated_capacity",),
        },
    ),
    *_methods(
        ("ElectricLoadCenter:Transformer",),
        "performance_input_method",
        {
            "RatedLosses": ("rated_no_load_loss", "rated_load_loss"),
            "NominalEfficiency": (
                "nameplate_efficiency",
                "per_unit_load_for_nameplate_efficiency",
                "reference_temperature_for_nameplate_efficiency",
                "per_unit_load_for_maximum_efficiency",
            ),
        },
    ),
    *_methods(
        ("ElectricLoadCenter:Storage:Converter",),
        "power_conversion_efficiency_method",
        {
            "SimpleFixed": ("simple_fixed_efficiency",),
            "FunctionOfPower": ("design_maximum_continuous_input_power", "efficiency_function_of_power_curve_name"),
        },
    ),
    *_methods(
        ("FaultModel:Fouling:Coil",),
        "fouling_input_method",
        {
            "FouledUARated": ("uafouled",),
            "FoulingFactor": (
                "water_side_fouling_factor",
                "air_side_fouling_factor",
                "outside_coil_surface_area",
                "inside_to_outside_coil_surface_area_ratio",
            ),
        },
    ),
    *_methods(
        ("Construction:AirBoundary",),
        "air_exchange_method",
        {"None": (), "SimpleMixing": ("simple_mixing_air_changes_per_hour", "simple_mixing_schedule_name")},
    ),
    *_methods(
        ("Site:WaterMainsTemperature",),
        "calculation_method",
        {
            "Schedule": ("temperature_schedule_name",),
            "Correlation": (
                "annual_average_outdoor_air_temperature",
                "maximum_difference_in_monthly_average_outdoor_air_temperatures",
            ),
            "CorrelationFromWeatherFile": (),
        },
    ),
    *_methods(
        ("SurfaceProperty:ExposedFoundationPerimeter",),
        "exposed_perimeter_calculation_method",
        {
            "TotalExposedPerimeter": ("total_exposed_perimeter",),
            "ExposedPerimeterFraction": ("exposed_perimeter_fraction",),
            "BySegment": (),
        },
    ),
    *_methods(
        ("ShadowCalculation",),
        "shading_calculation_update_frequency_method",
        {"Periodic": ("shading_calculation_update_frequency",), "Timestep": ()},
    ),
)
"""Every method that is known, verified name by name against EnergyPlus's schema."""


@cache
def methods_of(object_type: str, field: str) -> tuple[Method, ...]:
    """Return the methods of `object_type` that decide whether `field` counts.

    Examples
    --------
    >>> [method.field for method in methods_of("Lights", "watts_per_floor_area")]
    ['design_level_calculation_method']
    """
    return tuple(method for method in METHODS if method.object == object_type and field in method.governed)
