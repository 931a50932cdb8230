// Batch norm: edge cases; per pass, the operands, the expected values, and the work.
#include "kernels/reference/batch_norm_sample.h"
#include "tests/cases/cases.h"
#include "tests/support/kernel_check_impl.h"

namespace apam {

using namespace kernels;

template <>
struct support::KernelCheck<BatchNorm>::Rules : Operands<BatchNorm> {
  Rules(Exec& exec, const BatchNorm::Problem& p, std::uint64_t seed, std::unique_ptr<OperandMemory> memory)
      : Operands(exec, p, seed, std::move(memory)) {
    const auto gammas = doubles(gamma), means = doubles(saved_mean), inv_stds = doubles(saved_inv_std);
    for (std::size_t c = 0; c < channels; ++c) {
      offset = std::max(offset, std::abs(means[c] * inv_stds[c]));
      slope = std::max(slope, std::abs(gammas[c] * inv_stds[c]));
    }
  }

  static bool accumulates(Pass pass) { return pass == Pass::backward; }

  /// Magnitudes: x - mean cancels numbers that are `offset` times as large as the difference. The three terms of dx are of size
  /// 1 before they cancel. dbeta is the sum of `rows` numbers of size 1 and mixed signs, so of size sqrt(rows); dgamma sums as
  /// many of size `normalised`.
  std::vector<CheckedOutput> outputs(Pass pass) const {
    const std::int64_t rows = problem.rows;
    const double normalised = 1 + offset;
    switch (pass) {
      case Pass::forward_training:
        return {
            {"y", y, rows, 2 * normalised}, {"mean", mean, rows, 1}, {"variance", variance, rows}, {"inv_std", inv_std, rows}};
      case Pass::forward_inference:
        return {{"y", y, 4, 2 * normalised}};
      case Pass::backward: {
        const double sum = std::sqrt(double(rows));
        std::vector<CheckedOutput> gradients{
            {"dx", dx, rows, slope}, {"dgamma", dgamma, rows, sum * normalised}, {"dbeta", dbeta, rows, sum}};
        if (problem.residual) gradients.insert(gradients.begin() + 1, {"d_residual", d_residual, 0});
        return gradients;
      }
    }
    return {};
  }

  std::vector<CheckedInput> inputs(Pass pass) const {
    std::vector<CheckedInput> all{{"x", x}, {"gamma", gamma}};
    if (pass == Pass::backward) {
      all.insert(all.end(), {{"dy", dy}, {"mean", saved_mean}, {"inv_std", saved_inv_std}});
      if (problem.relu) all.push_back({"y", saved_y});
      return all;
    }
    all.push_back({"beta", beta});
    if (problem.residual) all.push_back({"residual", residual});
    if (pass == Pass::forward_inference)
      all.insert(all.end(), {{"running_mean", running_mean}, {"running_variance", running_variance}});
    return all;
  }

  /// d_residual is elementwise in dy; so is inference, except for the parameters of a channel. Everything else sums over the
  /// rows of a channel.
  std::vector<Reached> reached(Pass pass) const {
    Reached of_channel(channels), of_element(problem.size());
    for (const CheckedInput& input : inputs(pass)) {
      const Reached marks = extremes(input.values);
      const bool elementwise = pass == Pass::forward_inference && marks.size() == problem.size();
      for (std::size_t e = 0; e < marks.size(); ++e) {
        if (marks.size() == problem.size()) of_element[e] = of_element[e] || marks[e];
        if (!elementwise) of_channel[e % channels] = of_channel[e % channels] || marks[e];
      }
    }
    std::vector<Reached> all;
    for (const CheckedOutput& output : outputs(pass)) {
      const bool of_dy = output.values.bytes() == d_residual.bytes();
      Reached reached(output.values.size());
      for (std::size_t e = 0; e < reached.size(); ++e) {
        const bool here = reached.size() == problem.size() && of_element[e];
        reached[e] = of_dy ? here : here || of_channel[e % channels];
      }
      all.push_back(std::move(reached));
    }
    return all;
  }

  std::vector<std::vector<double>> expected(Pass pass) const {
    const auto xs = doubles(x), residuals = doubles(residual), gammas = doubles(gamma), betas = doubles(beta);
    const reference::BatchNormInputs<double> inputs{xs.data(), residuals.data(), gammas.data(), betas.data()};
    std::vector<double> result(problem.size());
    std::vector<double> first(channels), second(channels), third(channels);
    switch (pass) {
      case Pass::forward_training:
        reference::batch_norm_forward_training<double>(problem, inputs, result.data(),
                                                       {first.data(), second.data(), third.data()});
        return {result, first, second, third};
      case Pass::forward_inference:
        reference::batch_norm_forward_inference<double>(problem, inputs, doubles(running_mean).data(),
                                                        doubles(running_variance).data(), result.data());
        return {result};
      case Pass::backward: {
        const auto ys = doubles(saved_y), means = doubles(saved_mean), inv_stds = doubles(saved_inv_std);
        std::vector<double> residual_result(residual.size());
        reference::batch_norm_backward<double>(problem, doubles(dy).data(),
                                               {xs.data(), ys.data(), means.data(), inv_stds.data()}, gammas.data(),
                                               {result.data(), residual_result.data(), first.data(), second.data(),
                                                Write::overwrite, Write::overwrite, Write::overwrite});
        if (problem.residual) return {result, residual_result, first, second};
        return {result, first, second};
      }
    }
    return {};
  }

  double flops(Pass pass) const { return (pass == Pass::forward_inference ? 4.0 : 8.0) * double(problem.size()); }

  double bytes(Pass pass) const {
    // Statistics must be complete before anything is written, so training reads its operands twice.
    const double reads = pass == Pass::forward_inference  ? 1 + problem.residual
                         : pass == Pass::forward_training ? 2 + problem.residual
                                                          : 2 * (2 + problem.relu);
    const double writes = pass == Pass::backward ? 1 + problem.residual : 1;
    return double(size_of(problem.type)) * (reads + writes) * double(problem.size());
  }

  double offset = 0;  // largest |mean| * inv_std
  double slope = 0;   // largest |gamma| * inv_std
};

template class support::KernelCheck<BatchNorm>;

template <>
std::vector<cases::Case<BatchNorm>> cases::edge_cases<BatchNorm>() {
  std::vector<Case<BatchNorm>> cases;
  const struct {
    const char* name;
    int rows, c;
  } shapes[] = {{"one_row", 1, 20},
                {"one_channel", 33, 1},
                {"3_channels", 49, 3},
                {"10_channels", 72, 10},
                {"odd", 135, 7},
                {"17_channels", 1001, 17},
                {"few_rows_many_channels", 11, 515},
                {"many_rows", 20011, 5}};
  for (const auto& shape : shapes) {
    for (const bool residual : {false, true}) {
      for (const bool relu : {false, true}) {
        cases.push_back({fmt::format("edge/{}{}{}", shape.name, residual ? "_residual" : "", relu ? "_relu" : ""),
                         {shape.rows, shape.c, residual, relu}});
      }
    }
  }
  // Around the packs, tiles and row blocks of kernels on GPUs: a last block of one row, and blocks without a row of their own
  // for each thread.
  const struct {
    const char* name;
    int rows, c;
  } tiles[] = {{"one_row_512_channels", 1, 512},
               {"7_channels", 130, 7},
               {"8_channels", 257, 8},
               {"9_channels", 257, 9},
               {"65_rows", 65, 32},
               {"3_rows_36_channels", 3, 36},
               {"513_channels", 70, 513},
               {"odd_number_of_blocks", 64 * 133 + 1, 32}};
  for (const auto& shape : tiles) cases.push_back({fmt::format("edge/{}", shape.name), {shape.rows, shape.c, true, true}});
  cases.push_back({"edge/large_eps", {64, 24, false, true, 0.5F}});
  return cases;
}

}  // namespace apam
