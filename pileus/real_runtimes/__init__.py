"""Chains made of real runtimes: a raw chain spec becomes a running parachain that authors, imports and validates."""

from pileus.real_runtimes.bare_genesis import bare_spec as bare_spec
from pileus.real_runtimes.model_relay import ModelRelay as ModelRelay
from pileus.real_runtimes.parachain import RealParachain as RealParachain
from pileus.real_runtimes.real_relay import RealRelay as RealRelay
from pileus.real_runtimes.stages import Stage as Stage
from pileus.real_runtimes.stages import StageResult as StageResult
from pileus.real_runtimes.stages import author_and_validate as author_and_validate
